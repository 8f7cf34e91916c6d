"""What an image, a plate, a collection or a scene is: as values, which are JSON too, as lines of text, and as HTML."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import pictures, spec
from xomezarr.coords import axes_of, describe
from xomezarr.errors import UNREADABLE_MEMBER, OmeZarrError
from xomezarr.model import Axis, Channel, Multiscale
from xomezarr.plan import readable_bytes
from xomezarr.planning import group_attrs
from xomezarr.plate import node_at
from xomezarr.presence import arrays_behind
from xomezarr.read import is_remote
from xomezarr.source import direct_source, origins
from xomezarr.systems import described_axes
from xomezarr.tree import images as images_in
from xomezarr.units import symbol

__all__ = [
    "as_html",
    "as_text",
    "below",
    "described",
    "described_array",
    "described_tree",
    "glimpse",
    "printable",
    "without_unit",
]

SHOWN = 3
"""Names of rows, columns or fields at either end of a long list."""

CHEAP_BYTES = 16 * 2**20
"""Decoded bytes of chunks that a picture in a representation may cost: on a disk about a tenth of a second."""

PICTURED = ("image", "array", "labels")
"""Kinds of what is described of which there is a picture."""

PICTURE_SIZE = 160
"""Pixels of the longer side of such a picture."""


# --- as values -------------------------------------------------------------------------------------------------------


def described_tree(tree: xr.DataTree, store: str | None = None) -> dict[str, Any]:
    """Describe what a tree holds: an image, labels, a plate, a collection or a scene; no pixel is read.

    Parameters
    ----------
    tree
        The tree.
    store
        Where it is, as the user has named that; None for what the tree itself knows.

    Raises
    ------
    LevelError
        If it holds nothing of these.
    """
    attrs = group_attrs(tree)
    kinds = spec.kinds(attrs)
    place = str(tree.encoding.get("source", "")) if store is None else store
    if "multiscales" in kinds:
        return described(place, tree)
    if "plate" in kinds:
        return described_plate(place, tree)
    if "scene" in kinds:
        return described_scene(place, tree)
    if "0" not in tree.children and images_in(tree):
        return described_collection(place, tree)
    return described(place, tree)


def described(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe an image, or labels, with its levels and labels."""
    image: Any = tree.omezarr
    known = image.metadata
    of_labels: dict[str, Any] = {}
    if known is not None and known.label is not None:
        properties = image.properties
        columns = [str(column) for column in properties.columns]
        of_labels = {"colors": image.colors, "properties": columns, "described": len(properties)}
    systems: Any = {} if known is None else image.coordinate_systems
    return {
        "kind": "image" if not of_labels else "labels",
        "store": store,
        "name": image.name,
        "version": image.version,
        "held": _held(image.levels[0]),
        "dims": [str(dim) for dim in image.levels[0].dims],
        "method": None if known is None else known.multiscale.type,
        "axes": _axes(image.axes),
        "coordinate_systems": [
            {"name": name, "axes": _axes(system.axes), "of_levels": name == systems.intrinsic}
            for name, system in systems.items()
        ],
        "levels": [
            _level(level, number, [axis.name for axis in image.axes], None if known is None else known.multiscale)
            for number, level in enumerate(image.levels)
        ],
        "channels": [_channel(channel) for channel in image.channels],
        "labels": {name: described(below(store, f"labels/{name}"), node) for name, node in image.labels.items()},
    } | of_labels


def described_array(da: xr.DataArray) -> dict[str, Any]:
    """Describe an array as the image that it would be written as."""
    image: Any = da.omezarr
    axes = axes_of(da)
    return {
        "kind": "array",
        "store": "",
        "name": da.name,
        "version": None,
        "held": _held(da),
        "dims": [str(dim) for dim in da.dims],
        "method": None,
        "axes": _axes(axes),
        "coordinate_systems": [],
        "levels": [_level(da, 0, [axis.name for axis in axes], None)],
        "channels": [_channel(channel) for channel in image.channels],
        "labels": {},
    }


def described_plate(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe a plate, but for its images."""
    plate = spec.parse_plate(group_attrs(tree))
    wells = {well.path: node_at(tree, well.path) for well in plate.wells}
    return {
        "kind": "plate",
        "store": store,
        "name": plate.name,
        "version": plate.version,
        "rows": [row.name for row in plate.rows],
        "columns": [column.name for column in plate.columns],
        "wells": {path: [] if node is None else list(node.children) for path, node in wells.items()},
        "field_count": plate.field_count,
        "acquisitions": [{"id": run.id, "name": run.name} for run in plate.acquisitions or ()],
    }


def described_collection(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe a collection, image by image."""
    images = {
        node.path.strip("/"): node
        for node in tree.subtree
        if spec.is_image(group_attrs(node)) and "labels" not in node.path.split("/")
    }
    told = {path: described(below(store, path), node) for path, node in images.items()}
    attrs = group_attrs(tree)
    return {
        "kind": "collection",
        "store": store,
        # up to 0.4 the group of a collection names none
        "version": spec.claimed(attrs) or next((image["version"] for image in told.values()), spec.detect(attrs)),
        "images": told,
    }


def described_scene(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe a scene: its images, its coordinate systems, and what leads from one to another."""
    scene = spec.parse_scene(group_attrs(tree))
    nodes = {path: node for path in images_in(tree) if (node := node_at(tree, path)) is not None}
    return {
        "kind": "scene",
        "store": store,
        "version": scene.version,
        "systems": {
            system.name: [{"name": axis.name, "type": axis.type, "unit": axis.unit} for axis in system.axes]
            for system in scene.systems or ()
        },
        "transformations": [
            {
                "type": link.transform["type"],
                "from": {"image": link.source.path or None, "system": link.source.name},
                "to": {"image": link.target.path or None, "system": link.target.name},
            }
            for link in scene.links
        ],
        "images": {path: described(below(store, path), node) for path, node in nodes.items()},
    }


def below(store: str, path: str) -> str:
    """Return a place below another one, as the user has named that."""
    return f"{store.rstrip('/')}/{path}" if store else path


def _axes(axes: Iterable[Axis]) -> list[dict[str, Any]]:
    return [{"name": axis.name, "type": axis.type, "unit": axis.unit} for axis in axes]


def _channel(channel: Channel) -> dict[str, Any]:
    window = None if channel.window is None else asdict(channel.window)
    return {"label": channel.label, "color": channel.color, "window": window, "active": channel.active}


def _level(level: xr.DataArray, number: int, dims: Sequence[str], known: Multiscale | None) -> dict[str, Any]:
    """Describe a level by the axes in the order of the file; what is not known of it is None."""
    chunks, shards = _chunks(level, dims)
    scale, translation = _grid(level, number, dims, known)
    return {
        "path": str(number) if known is None else known.levels[number].path,
        "shape": [int(level.sizes[dim]) for dim in dims],
        "chunks": chunks,
        "shards": shards,
        "dtype": str(level.dtype),
        "scale": scale,
        "translation": translation,
        "bytes": int(level.nbytes),
    }


def _held(level: xr.DataArray) -> str:
    """Say where pixels are: in memory, in a store or a file, or nowhere until they are computed."""
    found = origins(level)
    return "in memory" if not found else "computed when asked for" if None in found else "opened lazily"


def _chunks(level: xr.DataArray, dims: Sequence[str]) -> tuple[list[int] | None, list[int] | None]:
    """Return the sizes of chunks and of shards as they are stored."""
    chunks, whole = level.encoding.get("chunks"), level.encoding.get("preferred_chunks") or {}
    if chunks is None or len(chunks) != len(dims):
        return None, None
    at_once = [int(whole.get(dim, size)) for dim, size in zip(dims, chunks, strict=True)]
    return [int(size) for size in chunks], at_once if at_once != [*chunks] else None


def _grid(
    level: xr.DataArray, number: int, dims: Sequence[str], known: Multiscale | None
) -> tuple[list[float] | None, list[float] | None]:
    """Return scale and translation: what the store says, else the coordinates, where they are regular."""
    if known is not None and {*known.dims} >= {*dims}:
        stored = known.levels[number]
        return [float(stored.scale[dim]) for dim in dims], [float(stored.translation[dim]) for dim in dims]
    try:
        grids = {one.name: one.grid for one in describe(level)}
        return [grids[dim].scale for dim in dims], [grids[dim].translation for dim in dims]
    except (OmeZarrError, KeyError):
        return None, None


# --- as text ---------------------------------------------------------------------------------------------------------


def as_text(description: Mapping[str, Any]) -> str:
    """Lay out a description as lines and tables; what a store says makes no lines of its own."""
    description = _in_lines(description)
    text = _LAYOUTS.get(description["kind"], _image_text)(description)
    unfinished = description.get("unfinished")
    return f"{text}\n{unfinished}" if unfinished else text


def _in_lines(said: Any) -> Any:
    """Return what is said with control characters as they are written, so that each text is a part of one line.

    >>> len(_in_lines({"name": "a" + chr(10) + "b", "sizes": [1]})["name"])
    4
    """
    if isinstance(said, str):
        return printable(said)
    if isinstance(said, Mapping):
        return {_in_lines(key): _in_lines(value) for key, value in said.items()}
    return [_in_lines(one) for one in said] if isinstance(said, list | tuple) else said


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text without what a terminal obeys: names in a store may hold any character.

    Parameters
    ----------
    text
        The text.
    lines
        Whether tabs and ends of lines stay.

    Examples
    --------
    >>> [len(printable("a" + chr(number), lines=True)) for number in (7, 10)]
    [5, 2]
    """
    obeyed = OBEYED if lines else OBEYED_OR_LINES
    return obeyed.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tabs and ends of lines, and those that turn the direction of text."""

OBEYED_OR_LINES = re.compile(f"[\t\n]|{OBEYED.pattern}")


def _counted(count: int, what: str) -> str:
    """Say how many there are.

    >>> _counted(1, "well"), _counted(2, "well")
    ('1 well', '2 wells')
    """
    return f"{count} {what}{'s' * (count != 1)}"


def _plate_text(description: Mapping[str, Any]) -> str:
    rows, columns, wells = description["rows"], description["columns"], description["wells"]
    runs = [f"{run['id']} {run['name'] or ''}".strip() for run in description["acquisitions"]]
    images = sum(map(len, wells.values()))
    lines = [
        f"{_placed(description)}plate {description['name'] or ''}, OME-Zarr {description['version']}, "
        f"{_counted(len(rows), 'row')} ({_some(rows)}) × {_counted(len(columns), 'column')} ({_some(columns)}), "
        f"{_counted(len(wells), 'well')}, {_counted(images, 'image')}",
        *([f"acquisitions: {', '.join(runs)}"] if runs else []),
        "fields of each well:",
        _table(("", *columns), [(row, *(_count(wells, row, column) for column in columns)) for row in rows]),
    ]
    if (image := description.get("first_image")) is not None:
        lines += ["the first image:", _image_text(image)]
    return "\n".join(lines)


def _well_text(description: Mapping[str, Any]) -> str:
    fields = description["fields"]
    runs = any(field["acquisition"] is not None for field in fields)
    head, rows = ["field"], [[field["path"]] for field in fields]
    if runs:
        head, rows = [*head, "run"], [[field["path"], str(field["acquisition"])] for field in fields]
    count = _counted(len(fields), "image")
    return "\n".join(
        [
            f"{description['store']}: well of {count}, OME-Zarr {description['version']}",
            *([_table(head, rows)] if rows else []),
            *(["the first image:", _image_text(image)] if (image := description["first_image"]) else []),
        ]
    )


def _labels_text(description: Mapping[str, Any]) -> str:
    labels = description["labels"]
    head = f"{description['store']}: {_counted(len(labels), 'label image')}, OME-Zarr {description['version']}"
    return "\n".join([head, *([_label_table(labels)] if labels else [])])


def _count(wells: Mapping[str, Sequence[str]], row: str, column: str) -> str:
    fields = wells.get(f"{row}/{column}")
    return "." if fields is None else str(len(fields))


def _some(names: Sequence[str]) -> str:
    """Name the first and the last, where there are many.

    >>> _some(["A", "B"]), _some([str(number) for number in range(1, 25)])
    ('A, B', '1, 2, 3 … 22, 23, 24')
    """
    if len(names) <= 2 * SHOWN + 1:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN])} … {', '.join(names[-SHOWN:])}"


def _collection_text(description: Mapping[str, Any]) -> str:
    images = description["images"]
    head = f"{_placed(description)}collection of {_counted(len(images), 'image')}, OME-Zarr {description['version']}"
    return "\n".join([head, _images_table(images)])


def _scene_text(description: Mapping[str, Any]) -> str:
    images = description["images"]
    head = f"{_placed(description)}scene of {_counted(len(images), 'image')}, OME-Zarr {description['version']}"
    systems = [
        (name, ", ".join(f"{axis['name']} ({_measure(axis) or axis['type'] or '?'})" for axis in axes))
        for name, axes in description["systems"].items()
    ]
    ways = [(_end(one["from"]), _end(one["to"]), one["type"]) for one in description["transformations"]]
    return "\n".join(
        [
            head,
            _images_table(images),
            *([_table(("coordinate system", "axes"), systems)] if systems else []),
            _table(("from", "to", "transformation"), ways),
        ]
    )


def _end(end: Mapping[str, str | None]) -> str:
    """Name a coordinate system.

    >>> _end({"image": "tile", "system": "physical"}), _end({"image": None, "system": "world"})
    ('tile: physical', 'world')
    """
    return f"{end['image']}: {end['system']}" if end["image"] else str(end["system"])


def _images_table(images: Mapping[str, Any]) -> str:
    head, *rows = _image_rows(images)
    return _table(head, rows)


def _image_rows(images: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the head and the rows of a table of images."""
    yield ("image", "name", "shape", "levels", "dtype", "scale", "translation", "labels")
    for path, image in images.items():
        finest = image["levels"][0]
        yield (
            path,
            image["name"] or "",
            _sizes(finest["shape"]),
            str(len(image["levels"])),
            finest["dtype"],
            _numbers(finest["scale"]),
            _numbers(finest["translation"]),
            ", ".join(image["labels"]) or "none",
        )


_LAYOUTS = {
    "plate": _plate_text,
    "well": _well_text,
    "collection": _collection_text,
    "scene": _scene_text,
    "list of labels": _labels_text,
}
"""How each kind is laid out; what is not here is an image."""


def _image_text(description: Mapping[str, Any]) -> str:
    levels = description["levels"]
    axes = [f"{axis['name']} ({_measure(axis) or axis['type'] or '?'})" for axis in description["axes"]]
    made_by = f", method {description['method']}" if description["method"] else ""
    total = readable_bytes(sum(level["bytes"] for level in levels))
    sharded = any(level["shards"] for level in levels)
    blocks = [
        f"{_placed(description)}{description['name'] or 'image'}, {_of_version(description)}{made_by}, "
        f"{_counted(len(levels), 'level')}, {total} decoded",
        f"axes: {', '.join(axes)}{_order(description)}",
        *filter(None, [without_unit(description)]),
        *_systems_text(description),
        _table(
            ("level", "shape", "chunks", *(("shards",) * sharded), "dtype", "scale", "translation", "bytes"),
            [
                (
                    level["path"],
                    " × ".join(map(str, level["shape"])),
                    _sizes(level["chunks"]),
                    *((_sizes(level["shards"]),) * sharded),
                    level["dtype"],
                    _numbers(level["scale"]),
                    _numbers(level["translation"]),
                    readable_bytes(level["bytes"]),
                )
                for level in levels
            ],
        ),
    ]
    if any(channel[key] for channel in description["channels"] for key in ("label", "color", "window")):
        blocks.append(
            _table(
                ("channel", "color", "window"),
                [
                    (channel["label"] or "", channel["color"] or "", _window(channel["window"]))
                    for channel in description["channels"]
                ],
            )
        )
    labels = description["labels"] or ({description["name"]: description} if "colors" in description else {})
    if labels:
        blocks.append(_label_table(labels))
    if "copied_attributes" in description:
        blocks.append(f"attributes copied: {', '.join(description['copied_attributes']) or 'none'}")
    return "\n".join(blocks)


def _order(description: Mapping[str, Any]) -> str:
    """Say in which order dimensions stand, where that of the file is not that of the array.

    >>> _order({"axes": [{"name": "c"}, {"name": "z"}], "dims": ["z", "c"]})
    "; this is the file's order, the array has z, c"
    """
    if [axis["name"] for axis in description["axes"]] == description["dims"]:
        return ""
    return f"; this is the file's order, the array has {', '.join(description['dims'])}"


def _measure(axis: Mapping[str, Any]) -> str | None:
    """Return in what an axis is measured; None of one that measures nothing, as channels."""
    if axis["unit"]:
        return symbol(axis["unit"])
    return "no unit" if axis["type"] == "space" else None


def without_unit(description: Mapping[str, Any]) -> str | None:
    """Say along which axes of space an image has no unit, and whether sizes are counts of pixels; None if it has all.

    >>> axes = [{"name": "y", "type": "space", "unit": None}, {"name": "x", "type": "space", "unit": None}]
    >>> without_unit({"kind": "image", "axes": axes, "levels": [{"scale": [1.0, 1.0]}]})
    'no unit along y, x: sizes are in pixels of level 0'
    """
    if description["kind"] not in (*PICTURED, "file"):
        return None
    scales = description["levels"][0]["scale"] or [None] * len(description["axes"])
    bare = {
        axis["name"]: scale
        for axis, scale in zip(description["axes"], scales, strict=True)
        if axis["type"] == "space" and not axis["unit"]
    }
    if not bare:
        return None
    counted = all(scale == 1.0 for scale in bare.values())
    return f"no unit along {', '.join(bare)}: sizes are {'in pixels of level 0' if counted else 'bare numbers'}"


def _placed(description: Mapping[str, Any]) -> str:
    return f"{description['store']}: " if description["store"] else ""


def _of_version(description: Mapping[str, Any]) -> str:
    if description["version"] is not None:
        return f"OME-Zarr {description['version']}"
    return "not in OME-Zarr" if description["kind"] == "file" else str(description["held"])


def _sizes(sizes: Sequence[int] | None) -> str:
    return "" if sizes is None else " × ".join(map(str, sizes))


def _numbers(numbers: Sequence[float] | None) -> str:
    return "irregular" if numbers is None else ", ".join(f"{number:.6g}" for number in numbers)


def _systems_text(description: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of coordinate systems, where there are several."""
    if len(systems := description["coordinate_systems"]) > 1:
        rows = [
            (
                system["name"],
                described_axes([Axis(**axis) for axis in system["axes"]]),
                "of the levels" if system["of_levels"] else "",
            )
            for system in systems
        ]
        yield _table(("coordinate system", "axes", ""), rows)


LABEL_HEAD = ("labels", "shape", "levels", "dtype", "method", "colors", "properties")


def _label_table(labels: Mapping[str, Mapping[str, Any]]) -> str:
    return _table(LABEL_HEAD, [_label_row(name, label) for name, label in labels.items()])


def _label_row(name: str, label: Mapping[str, Any]) -> tuple[str, ...]:
    columns = ", ".join(label.get("properties", ()))
    return (
        name,
        " × ".join(map(str, label["levels"][0]["shape"])),
        str(len(label["levels"])),
        label["levels"][0]["dtype"],
        label["method"] or "",
        str(len(label.get("colors", ())) or "none"),
        f"{columns} of {_counted(label['described'], 'label')}" if columns else "none",
    )


def _window(window: Mapping[str, float] | None) -> str:
    return "" if window is None else f"{window['start']:g} to {window['end']:g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns with spaces: readable on a terminal, in a log and through a pipe.

    >>> print(_table(("a", "b"), [("long", "1")]))
    a     b
    long  1
    """
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


# --- as HTML ---------------------------------------------------------------------------------------------------------


def as_html(description: Mapping[str, Any], picture: NDArray[np.uint8] | None = None, note: str = "") -> str:
    """Lay out a description as HTML that stands for itself, with a picture, for notebooks.

    Parameters
    ----------
    description
        As `described_tree` or `described_array` returns it.
    picture
        uint8, shape (height, width, 3).
    note
        Stands in the place of the picture where there is none.
    """
    kind = description["kind"]
    body = _PAGES.get(kind, _image_page)(description)
    shown = f'<img alt="" src="{_data_url(picture)}">' if picture is not None else ""
    if not shown and note:
        shown = f'<div class="xomezarr-note">{escape(note)}</div>'
    return f'<div class="xomezarr"><style>{_STYLE}</style>{shown}<div>{_heading(description)}{body}</div></div>'


def represented(describe: Callable[[], Mapping[str, Any]]) -> str:
    """Return what stands for an accessor as text; of what cannot be described, why."""
    try:
        return f"<xomezarr>\n{as_text(describe())}"
    except (OmeZarrError, *UNREADABLE_MEMBER) as error:
        return f"<xomezarr: no image: {error}>"


def page(
    describe: Callable[[], Mapping[str, Any]],
    drawn: Callable[[], tuple[Sequence[xr.DataArray], pictures.Looks]],
) -> str:
    """Return what stands for an accessor in a notebook; of what cannot be described, why.

    Parameters
    ----------
    describe
        Describes it.
    drawn
        Returns levels of what is drawn, if it is an image or labels, and how they look.
    """
    try:
        description = describe()
        picture, note = glimpse(*drawn()) if description["kind"] in PICTURED else (None, "")
        return as_html(description, picture, note)
    except (OmeZarrError, *UNREADABLE_MEMBER):
        return f"<pre>{escape(represented(describe))}</pre>"


def glimpse(levels: Sequence[xr.DataArray], looks: pictures.Looks) -> tuple[NDArray[np.uint8] | None, str]:
    """Draw a small picture of an image where that is cheap; nothing is asked of a server, and dask computes nothing.

    Parameters
    ----------
    levels
        Finest first. Of those of which no more than `CHEAP_BYTES` have to be read the coarsest is drawn that has
        `PICTURE_SIZE` pixels; if none has, the finest.
    looks
        As in `pictures.composed`.

    Returns
    -------
    picture : numpy.ndarray or None
        uint8, shape (height, width, 3).
    note : str
        Why there is none.
    """
    call = ".omezarr.thumbnail() draws one"
    cheap = [level for level in levels if _is_near(level) and _plane_bytes(level) <= CHEAP_BYTES]
    if not all(level.size for level in levels):
        return None, "no picture: there are no pixels"
    if not cheap:
        why = "what lies elsewhere, or is computed," if not any(map(_is_near, levels)) else "so much"
        return None, f"no picture: {why} is read only when asked for; {call}"
    try:
        return pictures.thumbnail(cheap, looks, max_size=PICTURE_SIZE), ""
    except (OmeZarrError, OSError) as error:
        return None, f"no picture: {error}"


def _is_near(level: xr.DataArray) -> bool:
    """Whether pixels are in memory or in files of this machine, and are not computed."""
    # an array, or what was read lazily before and is kept
    if level.variable._in_memory:
        return True
    arrays = arrays_behind(level.variable._data)
    near = bool(arrays) and not any(is_remote(array.store) for array in arrays)
    return near and direct_source(level, [str(dim) for dim in level.dims]) is not None


def _plane_bytes(level: xr.DataArray) -> int:
    """Return how many bytes are decoded to read what a picture shows: whole chunks."""
    shown = pictures.plane(level)
    whole = level.encoding.get("preferred_chunks") or {}
    count = 1
    for dim, size in level.sizes.items():
        block = 1 if isinstance(level.variable._data, np.ndarray) else int(whole.get(dim, size))
        count *= min(-(-shown.sizes.get(dim, 1) // block) * block, size)
    return count * level.dtype.itemsize


def _data_url(picture: NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


_STYLE = (
    ".xomezarr{display:flex;gap:1em;align-items:flex-start;flex-wrap:wrap;line-height:1.5}"
    ".xomezarr img{image-rendering:pixelated;background:#000}"
    ".xomezarr table{border-collapse:collapse;margin:.3em 0;font-size:.9em}"
    ".xomezarr td,.xomezarr th{padding:.1em .7em .1em 0;text-align:left;border:0;background:none;white-space:nowrap}"
    ".xomezarr th{font-weight:normal;opacity:.6}"
    ".xomezarr .xomezarr-swatch{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border:1px solid #8888}"
    ".xomezarr .xomezarr-plate td{padding:0;width:1.5em;height:1.5em;text-align:center;border:1px solid #8886}"
    ".xomezarr .xomezarr-plate td.xomezarr-well{background:#3b7dd866}"
    ".xomezarr .xomezarr-plate th{padding:0 .3em;text-align:center}"
    ".xomezarr .xomezarr-note{width:12em;font-size:.8em;opacity:.6}"
)
"""Colours of the page itself, light or dark, but for swatches and wells."""


def _heading(description: Mapping[str, Any]) -> str:
    name = description.get("name") or {"array": "image"}.get(description["kind"], description["kind"])
    place = f"<br><code>{escape(description['store'])}</code>" if description["store"] else ""
    return f"<b>{escape(str(name))}</b> · {escape(description['kind'])} · {escape(_of_version(description))}{place}"


def _image_page(description: Mapping[str, Any]) -> str:
    axes, levels = description["axes"], description["levels"]
    names = [f"{axis['name']} ({told})" if (told := _measure(axis)) else axis["name"] for axis in axes]
    head = (
        "level",
        "shape",
        "scale",
        *(key for key in ("chunks", "shards") if any(level[key] for level in levels)),
        "bytes",
    )
    parts = [
        f"<div>{escape(', '.join(names) + _order(description))} · {escape(levels[0]['dtype'])}</div>",
        *(f"<div>{escape(told)}</div>" for told in filter(None, [without_unit(description)])),
        _html_table(head, [_level_cells(level, head) for level in levels]),
    ]
    if description["channels"]:
        rows = [
            [_swatch(channel["color"]) + escape(channel["label"] or ""), escape(_window(channel["window"]))]
            for channel in description["channels"]
        ]
        parts.append(_html_table(("channel", "window"), rows))
    if description["labels"]:
        rows = [[escape(cell) for cell in _label_row(name, of)] for name, of in description["labels"].items()]
        parts.append(_html_table(LABEL_HEAD, rows))
    if description.get("colors"):
        some = [*description["colors"].items()][:COLORS_SHOWN]
        more = f" and {left} more" if (left := len(description["colors"]) - len(some)) > 0 else ""
        parts.append(f"<div>{' '.join(_swatch(color) + str(value) for value, color in some)}{more}</div>")
    return "".join(parts)


def _level_cells(level: Mapping[str, Any], head: Sequence[str]) -> list[str]:
    cells = {
        "level": level["path"],
        "shape": _sizes(level["shape"]),
        "scale": _numbers(level["scale"]),
        "chunks": _sizes(level["chunks"]),
        "shards": _sizes(level["shards"]),
        "bytes": readable_bytes(level["bytes"]),
    }
    return [escape(cells[name]) for name in head]


COLORS_SHOWN = 12
"""Of the colours of labels."""


def _plate_page(description: Mapping[str, Any]) -> str:
    rows, columns, wells = description["rows"], description["columns"], description["wells"]
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    cells = {row: "".join(_well_cell(wells, row, column) for column in columns) for row in rows}
    lines = "".join(f"<tr><th>{escape(row)}</th>{line}</tr>" for row, line in cells.items())
    runs = [f"{run['id']} {run['name'] or ''}".strip() for run in description["acquisitions"]]
    told = f"{_counted(len(wells), 'well')}, {_counted(sum(map(len, wells.values())), 'image')}"
    return (
        f"<div>{told}{escape(f'; acquisitions: {_some(runs)}') if runs else ''}</div>"
        f'<table class="xomezarr-plate"><tr><th></th>{head}</tr>{lines}</table>'
    )


def _well_cell(wells: Mapping[str, Sequence[str]], row: str, column: str) -> str:
    """Return the cell of a well, with the number of its fields where they are several."""
    fields = wells.get(f"{row}/{column}")
    if fields is None:
        return "<td></td>"
    return f'<td class="xomezarr-well">{len(fields) if len(fields) > 1 else ""}</td>'


def _collection_page(description: Mapping[str, Any]) -> str:
    head, *rows = _image_rows(description["images"])
    return _html_table(head, [[escape(cell) for cell in row] for row in rows])


_PAGES = {"plate": _plate_page, "collection": _collection_page, "scene": _collection_page}
"""How each kind is laid out; what is not here is an image."""


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are HTML, and its head is text."""
    first = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table><tr>{first}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _swatch(color: str | None) -> str:
    """Return a small square of a colour, of hexadecimal digits; nothing for none.

    >>> _swatch(None)
    ''
    """
    if color is None or not re.fullmatch(r"#?[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?", color):
        return ""
    digits = color.removeprefix("#")
    return f'<span class="xomezarr-swatch" style="background:#{digits}" title="{digits}"></span>'
