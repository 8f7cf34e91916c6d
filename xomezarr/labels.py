"""What makes an image one of labels: colours and properties of its values, between what users hold and the model.

Colours are names, ``"#rrggbb"`` or numbers by label value; properties are a table with a row for each label value.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xomezarr import sidecar
from xomezarr.checks import leads_below
from xomezarr.colors import rgba
from xomezarr.downsample import METHODS, MethodLike, get_method
from xomezarr.errors import (
    AttributeEncodingError,
    DtypeError,
    LabelError,
    MethodError,
    MissingDependencyError,
    OmeZarrError,
    collecting,
    raise_all,
)
from xomezarr.model import LabelColor, LabelImage, LabelRow

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LABELED",
    "LABEL_METHOD",
    "Labels",
    "check_label_dtype",
    "check_label_name",
    "colored",
    "colors_of",
    "described",
    "dtypes_of",
    "label_method",
    "properties_of",
]

LABEL_METHOD = "mode"

LABELED = "labeled"
"""Key of the encoding of pixels that were read from a label image: by themselves no values are made of them."""
"""Method for labels, unless another is asked for: objects keep their area and their place."""

BACKGROUND = 0
"""The value of pixels that are of no object."""

SOURCE = "../../"
"""Path from a label's group to its image."""

LONGEST_NAME = 200
"""Bytes of a name: file systems have room for 255, and hidden folders have longer ones."""

RESERVED = ("zarr.json",)
"""Names of Zarr's own that no labels have, but for those that begin with a dot, which are refused anyway."""

VALUE_COLUMNS = ("label-value", "label_value", "label")
"""Columns of a table that hold its label values, as OME-Zarr, ome-zarr-models and scikit-image call them."""

EXACT = 2**53
"""Integers below this are floats without being rounded."""

MOST_COLORS = 2**16
"""Labels that get colours from a map at most: the JSON of so many has some 4 MB, which each reader has to load."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of an image together with what is known of them.

    Parameters
    ----------
    image
        Integers or bool; 0 is the background. Dimensions of the image, of which those of time and channels may be
        missing. Without coordinates the labels take those of the image; where they have some, these are to be the same.
    colors
        By label value: names, ``"#rrggbb"``, ``"#rrggbbaa"``, or tuples of three or four numbers; or the name of a
        colormap of matplotlib; None to leave colours to the viewers.
    properties
        A table of what is known of each label: a `pandas.DataFrame`, a dict of columns, or a Dataset of one dimension,
        whose rows are named by label value: in a column ``label``, as scikit-image's ``regionprops_table`` has it, else
        in the index.
    method
        How coarser levels are made: ``"mode"``, ``"nearest"``, ``"min"`` or ``"max"``. Left out, ``"mode"``, or
        ``"nearest"`` where the levels of the image are samples.
    """

    image: xr.DataArray
    colors: Mapping[Any, Any] | str | None = None
    properties: Any = None
    method: MethodLike | None = None

    @classmethod
    def of(cls, given: Any, name: str) -> Labels:
        """Return what was given for labels: an array alone, or with what is known of it.

        Raises
        ------
        LabelError
            If it is neither.
        """
        if isinstance(given, xr.DataArray):
            return cls(given)
        if isinstance(given, cls) and isinstance(given.image, xr.DataArray):
            return given
        kind = type(given.image if isinstance(given, cls) else given).__name__
        raise LabelError(
            f"labels[{name!r}] is a {kind}; give a DataArray, such as xr.DataArray(labels, dims=('y', 'x')), "
            "or Labels(array, colors=…, properties=…)"
        )

    @property
    def colormap(self) -> str | None:
        """The name of the colormap, if that is what was given."""
        return self.colors if isinstance(self.colors, str) else None


def check_label_name(name: Any, others: Iterable[str] = ()) -> None:
    """Make sure that labels can go by a name, beside others: a group in a store, a variable of a Dataset.

    Raises
    ------
    LabelError
        If they cannot.
    """
    good = isinstance(name, str) and leads_below(name) and not name.startswith(".") and name not in RESERVED
    if not good or "/" in name or not name.isprintable() or name != name.strip() or len(name.encode()) > LONGEST_NAME:
        raise LabelError(
            f"labels cannot be named {name!r}: the name is that of a folder of the store, begins with no dot, and has "
            "no space at either end; "
            'give a short one of letters and digits, such as "nuclei"'
        )
    if (other := next((other for other in others if other != name and _seen(other) == _seen(name)), None)) is not None:
        raise LabelError(
            f"the labels {other!r} and {name!r} differ by upper and lower case alone, or by how accents are stored, "
            "which not all file systems tell apart; give them another name"
        )


def _seen(name: str) -> str:
    """Return a name as file systems see it that tell least apart."""
    return unicodedata.normalize("NFC", name).casefold()


def check_label_dtype(dtype: np.dtype[Any], name: str = "") -> None:
    """Make sure that pixels, of labels of that name, are labels: integers or bool.

    Raises
    ------
    DtypeError
        If they are not.
    """
    if dtype.kind not in "biu":
        raise DtypeError(
            f"labels are integers or bool, and the pixels {f'of {name!r} ' if name else ''}are {dtype}; convert them "
            "first: astype('int32')"
        )


def label_method(method: MethodLike | None, dtype: np.dtype[Any], name: str = "") -> Any:
    """Return the row of the table by which labels, of that name, are scaled.

    Raises
    ------
    DtypeError
        If pixels of this dtype are no labels.
    MethodError
        If the method makes values that the level above does not have.
    """
    check_label_dtype(dtype, name)
    row = get_method(LABEL_METHOD if method is None else method)
    if not row.keeps_values:
        keeping = [name for name, known in METHODS.items() if known.keeps_values]
        raise MethodError(
            f"method {row.name!r} makes values that level 0 does not have, and labels are to have none; "
            f"those that keep values are {', '.join(keeping)}: give method={LABEL_METHOD!r}, say"
        )
    return row


# -- from what users hold ----------------------------------------------------------------------------------


def described(labels: Labels) -> LabelImage:
    """Return what the metadata of labels say; the colours of a colormap are added when the values are known.

    Raises
    ------
    LabelError, ColorError, AttributeEncodingError
        If colours or properties cannot be used; independent faults are raised together.
    """
    faults: list[OmeZarrError] = []
    colors: tuple[LabelColor, ...] | None = None
    rows: tuple[LabelRow, ...] | None = None
    with collecting(faults):
        if isinstance(labels.colors, str):
            colormap(labels.colors)
        elif labels.colors is not None:
            colors = _colors(labels.colors)
    with collecting(faults):
        if labels.properties is not None:
            rows = _rows(_table(labels.properties))
    faults += _impossible(labels.image.dtype, colors or (), "colors")
    faults += _impossible(labels.image.dtype, rows or (), "properties")
    raise_all(faults, "the labels cannot be described")
    return LabelImage(colors or None, rows or None, SOURCE)


def _impossible(dtype: np.dtype[Any], entries: Sequence[LabelColor | LabelRow], where: str) -> list[OmeZarrError]:
    """Say which label no pixel can have: one that the dtype does not hold."""
    if dtype.kind not in "biu":
        return []
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    beyond = [entry.value for entry in entries if not low <= entry.value <= high]
    if not beyond:
        return []
    return [
        LabelError(
            f"{where} name the label {beyond[0]}, and pixels of {dtype} are {low} to {high}; leave it out, or give the "
            "labels another dtype: astype('uint64')"
        )
    ]


def colored(label: LabelImage, name: str, values: Sequence[int]) -> LabelImage:
    """Return the metadata of labels with a colour for each value, from a colormap of matplotlib.

    Parameters
    ----------
    label
        The metadata so far.
    name
        Of the colormap.
    values
        All that occur, ascending. The background gets no colour.
    """
    shown = [value for value in values if value != BACKGROUND]
    colors = colormap(name)(len(shown))
    return LabelImage(
        tuple(LabelColor(value, color) for value, color in zip(shown, colors, strict=True)) or None,
        label.rows,
        label.source,
        label.source_extra,
        label.extra,
    )


def colormap(name: str) -> Callable[[int], list[tuple[int, int, int, int]]]:
    """Return what makes so many colours of a colormap of matplotlib: the listed ones in turn, others evenly spread.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    LabelError
        If it knows no such colormap.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingDependencyError(
            f'the colormap {name!r} needs matplotlib; pip install "xomezarr[view]", or give colours by label value'
        ) from None
    try:
        found: Any = matplotlib.colormaps[name]
    except KeyError:
        close = difflib.get_close_matches(name, list(matplotlib.colormaps), 3)
        raise LabelError(
            f"matplotlib knows no colormap {name!r}; give {' or '.join(map(repr, close)) or repr('tab20')}, "
            "or colours by label value: {1: 'red'}"
        ) from None
    listed = found.N < LISTED

    def colors(count: int) -> list[tuple[int, int, int, int]]:
        places = np.arange(count) % found.N if listed else np.linspace(0, 1, max(count, 1))[:count]
        return [(int(r), int(g), int(b), int(a)) for r, g, b, a in found(places, bytes=True)]

    return colors


LISTED = 256
"""Colormaps of fewer colours are lists of distinct ones."""


def dtypes_of(properties: Any) -> dict[str, Any] | None:
    """Return what JSON does not tell of a table: the name of its index, and the dtypes of its columns."""
    if properties is None:
        return None
    table = _table(properties)
    return {
        "index": sidecar.encode(table.index.name, "the name of the index of properties"),
        "dtype": str(table.index.dtype),
        "columns": {column: _kept_dtype(table[column].dtype) for column in table.columns},
    }


def _kept_dtype(dtype: Any) -> Any:
    """Return what brings the dtype of a column back; categories where JSON holds them."""
    categories = getattr(dtype, "categories", None)
    if categories is None:
        return str(dtype)
    values = categories.tolist()
    if not sidecar.is_plain(values):
        return "category"
    return {"categories": values, "dtype": str(categories.dtype), "ordered": bool(dtype.ordered)}


def _column(cells: Sequence[Any], kept: Any) -> Any:
    """Return a column of a table as it was kept; cells that are None are missing.

    Raises
    ------
    TypeError, ValueError, KeyError, OverflowError, AttributeError, NotImplementedError, ImportError
        If it cannot hold the cells as they are.
    """
    made = _of_dtype(cells, kept)
    if made.ndim != 1:
        raise ValueError("a column has lists of one length for cells")
    if any(cell is not None and value != cell for value, cell in zip(made.tolist(), cells, strict=True)):
        raise ValueError(f"a column of {kept} has other cells")
    return made


def _of_dtype(cells: Sequence[Any], kept: Any) -> Any:
    import pandas as pd

    if isinstance(kept, Mapping):
        categories = pd.Index(kept["categories"], dtype=_pandas_dtype(kept["dtype"]))
        if unknown := {*cells} - {*kept["categories"], None}:
            raise ValueError(f"{unknown} are no categories")
        return pd.Categorical(list(cells), dtype=pd.CategoricalDtype(categories, ordered=bool(kept["ordered"])))
    if kept == "object":
        return pd.Series(list(cells), dtype=object)
    if isinstance(dtype := _pandas_dtype(kept), np.dtype):
        filled = cells if dtype.kind != "f" else [np.nan if cell is None else cell for cell in cells]
        return np.array(filled, dtype=dtype)
    return pd.array([pd.NA if cell is None else cell for cell in cells], dtype=kept)


def _pandas_dtype(kept: Any) -> Any:
    """Return a dtype of tables by its name; not one of which they make objects, whose values may have gigabytes."""
    import pandas as pd

    dtype = pd.api.types.pandas_dtype(kept)
    if dtype.kind in "SUV":
        raise ValueError(f"no table is kept as {dtype}")
    return dtype


def _own_column(cells: Sequence[Any]) -> Any:
    """Return a column of cells of which nothing more is known; no integer becomes a float that does not hold it."""
    import pandas as pd

    present = [cell for cell in cells if cell is not None]
    whole = all(type(cell) is int for cell in present)
    largest = max((abs(cell) for cell in present if type(cell) is int), default=0)
    if largest < EXACT or (whole and len(present) == len(cells)):
        return pd.Series(list(cells))
    return _of_dtype(cells, "Int64" if whole and largest < 2**63 else "object")


def _colors(given: Any) -> tuple[LabelColor, ...]:
    if not isinstance(given, Mapping):
        raise LabelError(
            f"colors is {_short(given)}; give colours by label value, {{1: 'red'}}, or the name of a colormap, 'tab20'"
        )
    faults: list[OmeZarrError] = []
    found: list[LabelColor] = []
    for key, color in given.items():
        with collecting(faults):
            value = _label_value(key, "colors")
            try:
                made = rgba(color)
            except OmeZarrError as error:
                raise type(error)(f"colors[{key!r}]: {error}") from None
            if value == BACKGROUND and made[3]:
                raise LabelError(
                    f"colors[{key!r}] would cover the image with {_short(color)}, as {BACKGROUND} is the background; "
                    "leave it out, or make it transparent: '#00000000'"
                )
            found.append(LabelColor(value, made))
    raise_all(faults, "the colours cannot be used")
    return tuple(found)


def _label_value(value: Any, where: str) -> int:
    """Return a label value as Python's integer; a float that is one will do, as tables turn them into such."""
    whole = isinstance(value, float | np.floating) and math.isfinite(value) and float(value).is_integer()
    if isinstance(value, bool | np.bool_) or not (whole or isinstance(value, int | np.integer)):
        raise LabelError(f"{where} names the label {_short(value)}, and labels are whole numbers; give 1, say")
    return int(value)


def _table(properties: Any) -> pd.DataFrame:
    """Return properties as a table whose index are the label values.

    Raises
    ------
    LabelError
        If they are no such table, or it cannot be told which are the label values.
    """
    import pandas as pd

    if isinstance(properties, xr.Dataset):
        if len(properties.dims) != 1:
            raise LabelError(
                f"properties have the dimensions {tuple(properties.dims)}, and one is needed, along which the labels "
                "lie: to_dataset(…), or a pandas.DataFrame"
            )
        (dim,) = properties.dims
        table = properties.to_dataframe()
        if dim not in properties.coords:
            if not any(name in table.columns for name in VALUE_COLUMNS):
                raise _of_nothing(tuple(table.columns), f"give it a coordinate {str(dim)!r} that holds label values")
            table = table.rename_axis(index=None)  # its name is that of a dimension, which only counts
    elif isinstance(properties, pd.DataFrame):
        table = properties
    elif isinstance(properties, Mapping):
        try:
            table = pd.DataFrame(dict(properties))
        except (TypeError, ValueError) as error:
            raise LabelError(f"properties are no columns of one length ({error}); give a pandas.DataFrame") from None
    else:
        raise LabelError(
            f"properties is {_short(properties)}; give a pandas.DataFrame, a dict of columns or a Dataset, "
            "with a row for each label"
        )
    _check_columns(table)
    return _by_label(table)


def _check_columns(table: pd.DataFrame) -> None:
    """Refuse columns that JSON objects have no room for."""
    faults: list[OmeZarrError] = [
        LabelError(f"properties have a column {column!r}; name it by text: rename(columns={{{column!r}: …}})")
        for column in table.columns
        if not isinstance(column, str)
    ]
    if not table.columns.is_unique:
        faults.append(LabelError(f"properties have columns of one name among {tuple(table.columns)}; rename them"))
    raise_all(faults, "the properties cannot be used")


def _by_label(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose index are the label values: its own index, or a column that is called so.

    An index without a name says where a row once stood, however rows were chosen and sorted since.
    """
    import pandas as pd

    index = table.index
    names = [name for name in index.names if name is not None]
    column = next((name for name in VALUE_COLUMNS if name in table.columns), None)
    if column is None:
        if not names and len(table) and index.equals(pd.RangeIndex(len(table))):
            raise _of_nothing(tuple(table.columns), "add a column 'label', or name the rows by label: df.set_index(…)")
        return table
    numbers = not len(table) or pd.api.types.infer_dtype(table[column]) in WHOLE
    if not names and (pd.api.types.is_integer_dtype(index) or not len(table)):
        if numbers:
            return table.set_index(column)
        raise LabelError(
            f"properties have a column {column!r} that holds no label values, and an index without a name, which only "
            "counts the rows; if it is what says of which label a row is, name it: df.rename_axis('label')"
        )
    if not numbers or any(name in VALUE_COLUMNS for name in names):
        return table
    which = f"an index {', '.join(map(repr, names))}" if names else f"an index {_short(index.tolist())}"
    raise LabelError(
        f"properties have {which} and a column {column!r}, and either may say of which label a row is; if the column "
        f"does, give df.reset_index().set_index({column!r}); if the index does, name it so: df.rename_axis('label')"
    )


WHOLE = ("integer", "floating", "mixed-integer-float")
"""What pandas calls columns that may hold label values: tables turn integers into floats."""


def _of_nothing(columns: tuple[Any, ...], cure: str) -> LabelError:
    return LabelError(f"properties have the columns {columns}, and nothing says of which label a row is; {cure}")


def _rows(table: pd.DataFrame) -> tuple[LabelRow, ...]:
    """Turn a table by label value into the rows of the model; cells without a value are left out."""
    faults: list[OmeZarrError] = []
    if VALUE_COLUMNS[0] in table.columns:
        faults.append(
            LabelError(
                f"properties have a column {VALUE_COLUMNS[0]!r}, by which OME-Zarr names the label of a row, and the "
                f"index says of which label a row is; df.rename(columns={{{VALUE_COLUMNS[0]!r}: …}}), or drop it"
            )
        )
    name = table.index.name
    where = "the index of properties" if name is None else f"{name!r} of properties"
    values: list[int] = []
    with collecting(faults):
        values = [_label_value(key, where) for key in table.index.tolist()]
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise LabelError(f"properties name the label {twice[0]} twice; keep one: df[~df.index.duplicated()]")
    cells: list[dict[str, Any]] = [{} for _ in values]
    for column in table.columns if values else ():
        with collecting(faults):  # a column of the wrong dtype is wrong in each row, and told once
            there = table[column].notna()
            for value, row, cell, present in zip(values, cells, table[column].tolist(), there.tolist(), strict=True):
                if present:
                    row[column] = _json(cell, column, value)
    raise_all(faults, "the properties cannot be used")
    return tuple(LabelRow(value, row) for value, row in zip(values, cells, strict=True))


def _json(cell: Any, column: str, value: int) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bool | int | str) or (isinstance(cell, float) and math.isfinite(cell)):
        return cell
    where = f"properties[{column!r}] of label {value}"
    if isinstance(cell, float):
        raise AttributeEncodingError(f"{where} is {cell}, which JSON cannot hold; replace it: df.replace({cell}, …)")
    raise AttributeEncodingError(
        f"{where} is {_short(cell)} of type {type(cell).__name__}, which JSON cannot hold; turn the column into "
        "numbers or text: df[…].astype(str)"
    )


# -- to what users hold ------------------------------------------------------------------------------------


def colors_of(label: LabelImage) -> dict[int, str]:
    """Return the colours by label value, as ``"#rrggbbaa"``; of several for one label the last counts.

    >>> colors_of(LabelImage((LabelColor(1, (255, 0, 0, 255)), LabelColor(2))))
    {1: '#ff0000ff'}
    """
    return {color.value: "#" + bytes(color.rgba).hex() for color in label.colors or () if color.rgba is not None}


NOT_KEPT = (TypeError, ValueError, KeyError, OverflowError, AttributeError, NotImplementedError, ImportError)
"""What pandas raises where a dtype is none, or one that does not hold the values, or of a package that is not there."""


def properties_of(label: LabelImage, kept: Any = None) -> pd.DataFrame:
    """Return the properties as a table with a row for each label value.

    Parameters
    ----------
    label
        The metadata of labels.
    kept
        What `dtypes_of` said when they were written; any JSON may stand there.

    Returns
    -------
    pandas.DataFrame
        The index holds the label values. What a label lacks is missing (NaN, or what the column's dtype has for it).
    """
    import pandas as pd

    rows = label.rows or ()
    kept = kept if isinstance(kept, Mapping) else {}
    dtypes = kept["columns"] if isinstance(kept.get("columns"), Mapping) else {}
    columns: dict[str, Any] = {}
    for column in dict.fromkeys([*dtypes, *(column for row in rows for column in row.properties)]):
        cells = [row.properties.get(column) for row in rows]
        try:
            columns[column] = _column(cells, dtypes[column]) if dtypes.get(column) else _own_column(cells)
        except NOT_KEPT:  # another tool has changed the values since
            columns[column] = _own_column(cells)
    values = [row.value for row in rows]
    try:
        dtype = None if kept.get("dtype") is None else _pandas_dtype(kept["dtype"])
        index = pd.Index(values, dtype=dtype, name=sidecar.decode(kept["index"]) if kept else "label")
        if index.tolist() != values:
            raise ValueError
    except NOT_KEPT:
        index = pd.Index(values, name="label")
    return pd.DataFrame({name: pd.Series(column).set_axis(index) for name, column in columns.items()}, index=index)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
