"""What makes an image one of labels: colours and properties of its values, between what users hold and the model.

Colours are names, ``"#rrggbb"`` or numbers by label value; properties are a table with a row for each label value.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

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
"""Method for labels, unless another is asked for: objects keep their area and their place."""

BACKGROUND = 0
"""The value of pixels that are of no object."""

SOURCE = "../../"
"""Path from a label's group to its image."""

VALUE_COLUMNS = ("label-value", "label_value", "label")
"""Columns of a table that hold its label values, as OME-Zarr, ome-zarr-models and scikit-image call them."""

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
        whose rows are named by label value: in the index, or in a column ``label``, as scikit-image's
        ``regionprops_table`` has it.
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


def check_label_name(name: Any) -> None:
    """Make sure that labels can go by a name: a group in a store, a variable of a Dataset.

    Raises
    ------
    LabelError
        If they cannot.
    """
    bad = not isinstance(name, str) or not name.strip() or name.startswith(".") or "/" in name or "\\" in name
    if bad or not name.isprintable() or len(name.encode()) > 200:
        raise LabelError(
            f"labels cannot be named {name!r}: the name is that of a folder, and begins with no dot; "
            'give a short one without slashes, such as "nuclei"'
        )


def check_label_dtype(dtype: np.dtype[Any]) -> None:
    """Make sure that pixels are labels: integers or bool.

    Raises
    ------
    DtypeError
        If they are not.
    """
    if dtype.kind not in "biu":
        raise DtypeError(
            f"labels are integers or bool, and the pixels are {dtype}; convert them first: astype('int32')"
        )


def label_method(method: MethodLike | None, dtype: np.dtype[Any]) -> Any:
    """Return the row of the table by which labels are scaled.

    Raises
    ------
    DtypeError
        If pixels of this dtype are no labels.
    MethodError
        If the method makes values that the level above does not have.
    """
    check_label_dtype(dtype)
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
    raise_all(faults, "the labels cannot be described")
    return LabelImage(colors or None, rows or None, SOURCE)


def colored(label: LabelImage, name: str, values: NDArray[Any]) -> LabelImage:
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
    shown = [int(value) for value in values if value != BACKGROUND]
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
        "index": None if table.index.name is None else str(table.index.name),
        "dtype": str(table.index.dtype),
        "columns": {str(column): str(table[column].dtype) for column in table.columns},
    }


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
        If they are no such table.
    """
    import pandas as pd

    if isinstance(properties, xr.Dataset):
        if len(properties.dims) != 1:
            raise LabelError(
                f"properties have the dimensions {tuple(properties.dims)}, and one is needed, along which the labels "
                "lie: to_dataset(…), or a pandas.DataFrame"
            )
        table = properties.to_dataframe()
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
    column = next((name for name in VALUE_COLUMNS if name in table.columns), None)
    if column is not None:
        table = table.set_index(column)
    elif isinstance(properties, Mapping) and not isinstance(properties, xr.Dataset):
        raise LabelError(
            f"properties have the columns {tuple(map(str, table.columns))}, and none says of which label a row is; "
            "add a column 'label'"
        )
    return table


def _rows(table: pd.DataFrame) -> tuple[LabelRow, ...]:
    """Turn a table into the rows of the model; cells without a value are left out."""
    import pandas as pd

    faults: list[OmeZarrError] = []
    faults += [
        LabelError(f"properties have a column {column!r}; name it by text: rename(columns={{{column!r}: …}})")
        for column in table.columns
        if not isinstance(column, str)
    ]
    if not table.columns.is_unique:
        faults.append(LabelError(f"properties have columns of one name among {tuple(table.columns)}; rename them"))
    raise_all(faults, "the properties cannot be used")
    rows: dict[int, LabelRow] = {}
    for key, values in zip(table.index, table.itertuples(index=False, name=None), strict=True):
        with collecting(faults):
            value = _label_value(key, "the index of properties")
            if value in rows:
                raise LabelError(f"properties name the label {value} twice; keep one: ~df.index.duplicated()")
            cells = {}
            for column, cell in zip(table.columns, values, strict=True):
                if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
                    continue
                cells[column] = _json(cell, f"properties[{column!r}] of label {value}")
            rows[value] = LabelRow(value, cells)
        if len(faults) >= MOST_FAULTS:
            break
    raise_all(faults, "the properties cannot be used")
    return tuple(rows.values())


MOST_FAULTS = 10
"""Faults of a table that are told: a column of the wrong dtype is wrong in each row."""


def _json(cell: Any, where: str) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float) and not math.isfinite(cell):
        raise AttributeEncodingError(f"{where} is {cell}, which JSON cannot hold; replace it: df.replace({cell}, …)")
    if not isinstance(cell, bool | int | float | str):
        raise AttributeEncodingError(
            f"{where} is {_short(cell)} of type {type(cell).__name__}, which JSON cannot hold; turn the column into "
            "numbers or text: df[…].astype(str)"
        )
    return cell


# -- to what users hold ------------------------------------------------------------------------------------


def colors_of(label: LabelImage) -> dict[int, str]:
    """Return the colours by label value, as ``"#rrggbbaa"``; of several for one label the last counts.

    >>> colors_of(LabelImage((LabelColor(1, (255, 0, 0, 255)), LabelColor(2))))
    {1: '#ff0000ff'}
    """
    return {color.value: "#" + bytes(color.rgba).hex() for color in label.colors or () if color.rgba is not None}


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
    dtypes = kept.get("columns") if isinstance(kept.get("columns"), Mapping) else {}
    found = dict.fromkeys(column for row in rows for column in row.properties)
    named = [column for column in dtypes if isinstance(column, str)] if dtypes else []
    columns: Sequence[str] = [*named, *(column for column in found if column not in named)]
    index = pd.Index([row.value for row in rows], name=kept.get("index", "label") if kept else "label")
    table = pd.DataFrame([row.properties for row in rows], index=index, columns=list(columns))
    for column, dtype in {**(dtypes or {}), None: kept.get("dtype")}.items():
        try:
            if column is None and dtype is not None:
                table.index = table.index.astype(dtype)
            elif column in table:
                table[column] = table[column].astype(dtype)
        except (TypeError, ValueError):  # another tool has changed the values since
            continue
    return table


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
