"""What is in a store, as a JSON object and as lines for people: images, labels, plates, wells, collections, scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import xarray as xr

from xomezarr import accessor, spec  # noqa: F401 - registers the accessor
from xomezarr.collection import is_collection, open_collection
from xomezarr.errors import UNREADABLE_MEMBER, MetadataError, OtherImagesWarning, warn
from xomezarr.model import Axis, Channel
from xomezarr.plan import readable_bytes
from xomezarr.planning import group_attrs
from xomezarr.plate import node_at, open_plate
from xomezarr.scenes import open_scene
from xomezarr.store import open_group, unfinished_beside
from xomezarr.systems import described_axes
from xomezarr.tree import images as images_in

__all__ = ["as_text", "described", "description_of"]

SHOWN = 3
"""Names of rows, columns or fields at either end of a long list."""


def description_of(store: str) -> dict[str, Any]:
    """Describe what is in a store, in numbers and strings, as ``--json`` prints it, and what is unfinished there."""
    return {**_description_of(store), "unfinished": unfinished_beside(store) or None}


def _description_of(store: str) -> dict[str, Any]:
    attrs = open_group(store).attrs.asdict()
    kinds = spec.kinds(attrs)
    if "multiscales" in kinds:
        return _image(store)
    if "plate" in kinds:
        with open_plate(store) as tree:
            return _plate(store, tree)
    if "well" in kinds:
        return _well(store, attrs)
    if is_collection(attrs):
        with open_collection(store) as tree:
            return _collection(store, tree)
    if "scene" in kinds:
        with open_scene(store) as tree:
            return _scene(store, tree)
    if "labels" in kinds:
        return _labels(store, attrs)
    return _image(store)


def _below(store: str, path: str) -> str:
    """Return a place below another one, as the user has named that."""
    return f"{store.rstrip('/')}/{path}"


def _image(store: str) -> dict[str, Any]:
    """Describe an image."""
    with xr.open_datatree(store, engine="omezarr") as tree:
        return described(store, tree)


def _plate(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe a plate, and its first image."""
    plate = spec.parse_plate(group_attrs(tree))
    wells = {well.path: node_at(tree, well.path) for well in plate.wells}
    fields = {path: [] if node is None else list(node.children) for path, node in wells.items()}
    path = next(f"{well}/{names[0]}" for well, names in fields.items() if names)
    acquisitions = [{"id": run.id, "name": run.name} for run in plate.acquisitions or ()]
    return {
        "kind": "plate",
        "store": store,
        "name": plate.name,
        "version": plate.version,
        "rows": [row.name for row in plate.rows],
        "columns": [column.name for column in plate.columns],
        "wells": fields,
        "field_count": plate.field_count,
        "acquisitions": acquisitions,
        "first_image": _image(_below(store, path)),
    }


def _well(store: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a well, and the first of its images that can be opened."""
    well = spec.parse_well(attrs)
    images = _those_that_open(store, [field.path for field in well.fields])
    return {
        "kind": "well",
        "store": store,
        "version": spec.claimed(attrs) or spec.detect(attrs),
        "fields": [{"path": field.path, "acquisition": field.acquisition} for field in well.fields],
        "first_image": next((image for _, image in images), None),
    }


def _labels(store: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the labels that a group of labels lists."""
    return {
        "kind": "list of labels",
        "store": store,
        "version": spec.claimed(attrs) or spec.detect(attrs),
        "labels": dict(_those_that_open(store, spec.parse_labels(attrs))),
    }


def _those_that_open(store: str, paths: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield descriptions of images below a group by their paths; of those that cannot be opened a warning tells.

    Raises
    ------
    MetadataError
        If none of those that there should be can be opened.
    """
    faults: list[str] = []
    found = False
    for path in paths:
        try:
            image = _image(_below(store, path))
        except UNREADABLE_MEMBER as error:
            faults.append(f"{path!r} of {store!r} cannot be opened: {error}")
            continue
        found = True
        _left_out(faults)
        yield path, image
    if faults and not found:
        raise MetadataError(f"{'; '.join(faults)}; xomezarr.validate({store!r}) lists all that is wrong")
    _left_out(faults)


def _left_out(faults: list[str]) -> None:
    """Warn of what could not be opened so far, once."""
    while faults:
        warn(f"{faults.pop(0)}; it is left out", OtherImagesWarning)


def _collection(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe a collection, image by image."""
    images = {
        node.path.strip("/"): node
        for node in tree.subtree
        if spec.is_image(group_attrs(node)) and "labels" not in node.path.split("/")
    }
    told = {path: described(_below(store, path), node) for path, node in images.items()}
    attrs = group_attrs(tree)
    return {
        "kind": "collection",
        "store": store,
        # up to 0.4 the group of a collection names none
        "version": spec.claimed(attrs) or next((image["version"] for image in told.values()), spec.detect(attrs)),
        "images": told,
    }


def _scene(store: str, tree: xr.DataTree) -> dict[str, Any]:
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
        "images": {path: described(_below(store, path), node) for path, node in nodes.items()},
    }


def described(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe an image, or labels, with its levels and labels."""
    image: Any = tree.omezarr
    of_labels: dict[str, Any] = {}
    if image.metadata.label is not None:
        properties = image.properties
        columns = [str(column) for column in properties.columns]
        of_labels = {"colors": image.colors, "properties": columns, "described": len(properties)}
    multiscale, systems = image.metadata.multiscale, image.coordinate_systems
    group = open_group(store)
    levels = []
    for known, array in zip(multiscale.levels, image.levels, strict=True):
        stored: Any = group[known.path]
        levels.append(
            {
                "path": known.path,
                "shape": [int(array.sizes[dim]) for dim in multiscale.dims],
                "chunks": [int(size) for size in stored.chunks],
                "shards": None if stored.shards is None else [int(size) for size in stored.shards],
                "dtype": str(array.dtype),
                "scale": [float(known.scale[dim]) for dim in multiscale.dims],
                "translation": [float(known.translation[dim]) for dim in multiscale.dims],
                "bytes": int(array.nbytes),
            }
        )
    return {
        "kind": "image" if image.metadata.label is None else "labels",
        "store": store,
        "name": image.name,
        "version": image.version,
        "method": multiscale.type,
        "axes": _axes(image.axes),
        "coordinate_systems": [
            {"name": name, "axes": _axes(system.axes), "of_levels": name == systems.intrinsic}
            for name, system in systems.items()
        ],
        "levels": levels,
        "channels": [_channel(channel) for channel in image.channels],
        "labels": {name: described(_below(store, f"labels/{name}"), node) for name, node in image.labels.items()},
    } | of_labels


def _axes(axes: Iterable[Axis]) -> list[dict[str, Any]]:
    return [{"name": axis.name, "type": axis.type, "unit": axis.unit} for axis in axes]


def _channel(channel: Channel) -> dict[str, Any]:
    window = None if channel.window is None else asdict(channel.window)
    return {"label": channel.label, "color": channel.color, "window": window, "active": channel.active}


def as_text(description: Mapping[str, Any]) -> str:
    """Lay out a description as lines and tables."""
    text = _LAYOUTS.get(description["kind"], _image_text)(description)
    unfinished = description.get("unfinished")
    return f"{text}\n{unfinished}" if unfinished else text


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
        f"{description['store']}: plate {description['name'] or ''}, OME-Zarr {description['version']}, "
        f"{_counted(len(rows), 'row')} ({_some(rows)}) × {_counted(len(columns), 'column')} ({_some(columns)}), "
        f"{_counted(len(wells), 'well')}, {_counted(images, 'image')}",
        *([f"acquisitions: {', '.join(runs)}"] if runs else []),
        "fields of each well:",
        _table(("", *columns), [(row, *(_count(wells, row, column) for column in columns)) for row in rows]),
        "the first image:",
    ]
    return "\n".join([*lines, _image_text(description["first_image"])])


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
    head = f"{description['store']}: collection of {_counted(len(images), 'image')}, OME-Zarr {description['version']}"
    return "\n".join([head, _images_table(images)])


def _scene_text(description: Mapping[str, Any]) -> str:
    images = description["images"]
    head = f"{description['store']}: scene of {_counted(len(images), 'image')}, OME-Zarr {description['version']}"
    systems = [
        (name, ", ".join(f"{axis['name']} ({axis['unit'] or axis['type'] or '?'})" for axis in axes))
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
    rows = [
        (
            path,
            image["name"] or "",
            " × ".join(map(str, image["levels"][0]["shape"])),
            str(len(image["levels"])),
            image["levels"][0]["dtype"],
            ", ".join(f"{number:.6g}" for number in image["levels"][0]["scale"]),
            ", ".join(f"{number:.6g}" for number in image["levels"][0]["translation"]),
            ", ".join(image["labels"]) or "none",
        )
        for path, image in images.items()
    ]
    return _table(("image", "name", "shape", "levels", "dtype", "scale", "translation", "labels"), rows)


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
    axes = [f"{axis['name']} ({axis['unit'] or axis['type'] or '?'})" for axis in description["axes"]]
    made_by = f", method {description['method']}" if description["method"] else ""
    total = readable_bytes(sum(level["bytes"] for level in levels))
    blocks = [
        f"{description['store']}: {description['name'] or 'image'}, OME-Zarr {description['version']}{made_by}, "
        f"{_counted(len(levels), 'level')}, {total} decoded",
        f"axes: {', '.join(axes)}",
        *_systems_text(description),
        _table(
            ("level", "shape", "chunks", "dtype", "scale", "translation", "bytes"),
            [
                (
                    level["path"],
                    " × ".join(map(str, level["shape"])),
                    " × ".join(map(str, level["chunks"])),
                    level["dtype"],
                    ", ".join(f"{number:.6g}" for number in level["scale"]),
                    ", ".join(f"{number:.6g}" for number in level["translation"]),
                    readable_bytes(level["bytes"]),
                )
                for level in levels
            ],
        ),
    ]
    if description["channels"]:
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


def _label_table(labels: Mapping[str, Mapping[str, Any]]) -> str:
    head = ("labels", "shape", "levels", "dtype", "method", "colors", "properties")
    return _table(head, [_label_row(name, label) for name, label in labels.items()])


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
