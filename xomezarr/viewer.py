"""Images in a real viewer: what it is to show as values, and the page or window that shows it.

Neuroglancer reads OME-Zarr by itself, in the browser, chunk by chunk. Its wheel brings the whole client, which is
served, together with the one store, on this machine alone (`served`). What it is told is a JSON document, its state;
what it would not understand of the store are a few documents, and it gets others in their place.
"""

from __future__ import annotations

import html
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import xarray as xr

from xomezarr import spec
from xomezarr.channels import called
from xomezarr.direct import get_document
from xomezarr.errors import DtypeError, MissingDependencyError, OmeZarrError
from xomezarr.interchange.napari import layers_of, uneven
from xomezarr.interchange.parts import given, tell_lost
from xomezarr.labels import colors_of
from xomezarr.lazy import zarr
from xomezarr.model import Axis, Channel, Image, Level, Multiscale
from xomezarr.pictures import completed
from xomezarr.planning import rendering, stored_metadata
from xomezarr.read import closer, open_tree
from xomezarr.source import opened_array
from xomezarr.store import StoreArgument, default_name, member_path, open_array, open_group
from xomezarr.tree import label_metadata, labels, levels
from xomezarr.units import axis_type, convert, ome_unit

__all__ = [
    "Shown",
    "View",
    "documents",
    "neuroglancer_state",
    "shown",
    "view",
]

VIEWERS = ("neuroglancer", "napari")

STORE = "store"
"""Under which name of the address the store lies."""

PAGE = "image"
"""What the page is called in its address."""

HEIGHT = 600
"""Pixels of the frame in a notebook."""

ONE_PANEL, FOUR_PANELS = (1000, 560), (500, 280)
"""Pixels, width and height, into which an image is to fit: a frame as high as in a notebook, less what is around it."""

TAKEN = {"bool": "uint8", "int64": "uint64", "uint64": "uint64"}
"""Pixels whose documents Neuroglancer does not take, and those of the same bytes that it does: of 64 bits it has none
with a sign, and stops at a fill value of null. Labels are int64 where nobody has thought about it."""

DRAWN = frozenset({"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"})
"""Pixels that it takes."""

SIGN = 2**63
"""What an int64 differs by from the unsigned number that stands in its order: its bytes with the first bit inverted."""

LAST_FILL = 2**64 - 2**11
"""The largest fill value that JSON's numbers, which are float64 in a browser, hold of those of uint64."""

RISING = "uint64_t(getDataValue().value ^ uvec2(0u, 0x80000000u))"
"""In a shader, an int64 as the unsigned number that stands in its order, `SIGN` above it."""

NEGATIVE = "getDataValue().value.y >= 0x80000000u"
"""In a shader, whether an int64 is below 0."""

CHANNEL_SHADER = """#uicontrol vec3 color color
#uicontrol invlerp normalized
void main() {{
  emitRGB(color * {brightness});
}}
"""
"""Draws a channel as `pictures.composite` does: from black to its full colour, to be added to what others draw."""


@dataclass(frozen=True)
class Shown:
    """An image, or labels, as a viewer is to show them.

    Parameters
    ----------
    name
        Of the image, or of the labels.
    multiscale
        Axes and levels, as the store that is served says them.
    sizes
        Of level 0, by axis.
    dtype
        Of the stored pixels.
    channels
        How the channels look, each with a label, a colour and a window; none for labels.
    colors
        Of labels, ``"#rrggbbaa"`` by value; None for an image.
    path
        Below the group that is served.
    """

    name: str
    multiscale: Multiscale
    sizes: Mapping[str, int]
    dtype: np.dtype[Any]
    channels: tuple[Channel, ...] = ()
    colors: Mapping[int, str] | None = None
    path: str = ""

    @property
    def channel(self) -> str | None:
        """The name of the channel axis."""
        return next((axis.name for axis in self.multiscale.axes if axis.type == "channel"), None)


# --- what is shown ---------------------------------------------------------------------------------------------------


def shown(tree: xr.DataTree, group: zarr.Group) -> tuple[Shown, ...]:
    """Return an image and its labels as a viewer is to show them.

    Windows that the store does not say are chosen by the pixels of the coarsest level, as `pictures.composite` does.

    Parameters
    ----------
    tree
        The image as it was opened from a group.
    group
        The group.

    Returns
    -------
    tuple of Shown
        The image first.
    """
    return (_shown(tree, group, ""), *(_shown(node, group, f"labels/{name}") for name, node in labels(tree).items()))


def _shown(tree: xr.DataTree, group: zarr.Group, path: str) -> Shown:
    image = stored_metadata(tree)
    assert image is not None
    found, multiscale = levels(tree), image.multiscale
    stored = open_array(group, "/".join(filter(None, (path, multiscale.levels[0].path))))
    sizes = dict(zip(multiscale.dims, stored.shape, strict=True))
    name = path.removeprefix("labels/") or multiscale.name or default_name(group.store_path) or "image"
    one = Shown(name, multiscale, sizes, np.dtype(stored.dtype), path=path)
    if path or image.label is not None:
        return replace(one, colors=colors_of(label_metadata(tree)))
    return replace(one, channels=completed([found[-1]], rendering(found[0], image)))


def documents(images: Iterable[Shown], group: zarr.Group) -> dict[str, bytes]:
    """Return the documents that stand for those of the store, by their keys.

    Those of the images say axes and levels and nothing else, in the version that Neuroglancer reads of the Zarr format
    that they are in: the chunks of 0.6 are those of 0.5. Those of arrays name pixels of the same bytes that it takes.

    Parameters
    ----------
    images
        The image and its labels.
    group
        Of the image.
    """
    return {
        f"{image.path}/{key}".lstrip("/"): json.dumps(document).encode()
        for image in images
        for key, document in _documents_of(image, group)
    }


def _documents_of(image: Shown, group: zarr.Group) -> Iterator[tuple[str, dict[str, Any]]]:
    zarr_format = group.metadata.zarr_format
    attributes = spec.dump(Image((_restated(image),)), spec.of_format(zarr_format)[0])
    if zarr_format == 2:
        yield ".zattrs", attributes
    else:
        yield "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    if (taken := TAKEN.get(image.dtype.name)) is None:
        return
    for level in image.multiscale.levels:
        path = f"{level.path}/{'.zarray' if zarr_format == 2 else 'zarr.json'}"
        found = get_document(group.store, member_path(group, f"{image.path}/{path}".lstrip("/")))
        document = {} if found is None else json.loads(found)
        kind = np.dtype(taken)
        named = {"data_type": taken} if zarr_format == 3 else {"dtype": _in_order(kind, str(document.get("dtype")))}
        # the same bytes, as those of pixels
        fill = int(document.get("fill_value") or 0) % 2 ** (8 * kind.itemsize)
        yield path, {**document, **named, "fill_value": min(fill, LAST_FILL)}


def _in_order(dtype: np.dtype[Any], other: str) -> str:
    """Return how Zarr v2 writes a dtype in the byte order of another.

    >>> _in_order(np.dtype("uint64"), ">i8"), _in_order(np.dtype("uint8"), "|b1")
    ('>u8', '|u1')
    """
    return other[:1] + dtype.str[1:]


def _restated(image: Shown) -> Multiscale:
    """Return axes and levels, with units that Neuroglancer knows."""
    multiscale = image.multiscale
    axes = tuple(Axis(axis.name, axis.type, _known_unit(axis)) for axis in multiscale.axes)
    levels = tuple(Level(level.path, level.scale, level.translation) for level in multiscale.levels)
    return Multiscale(multiscale.name, axes, levels)


def _known_unit(axis: Axis) -> str | None:
    """Return the unit of an axis under the name that OME-Zarr recommends; None where it has none."""
    return ome_unit(axis.unit) if axis.unit is not None and axis.type != "channel" else None


# --- Neuroglancer ----------------------------------------------------------------------------------------------------


def neuroglancer_state(images: Sequence[Shown], address: str, zarr_format: int) -> dict[str, Any]:
    """Return Neuroglancer's state: where it looks, and the layers that it draws.

    Parameters
    ----------
    images
        The image first, or labels alone.
    address
        Under which the group of the image is served, with a slash at its end.
    zarr_format
        Of the group.

    Returns
    -------
    dict
        JSON. Positions are in pixels of level 0 from the origin of the coordinates. The middle of the image is shown,
        of a stack the plane that `pictures.composite` shows, of a time series the first image.

    Raises
    ------
    DtypeError
        If it does not take the image's pixels.
    """
    base = images[0]
    axes, level = base.multiscale.axes, base.multiscale.levels[0]
    spatial = [axis for axis in axes if axis.type == "space"][::-1]  # the horizontal one first
    others = [axis for axis in axes if axis.type not in ("space", "channel")]
    position = {
        axis.name: level.translation[axis.name] / level.scale[axis.name] + _index(axis, spatial, base.sizes)
        for axis in (*spatial, *others)
    }
    spacing = {axis.name: level.scale[axis.name] * _si(axis)[0] for axis in spatial}
    extents = [spacing[axis.name] * base.sizes[axis.name] for axis in spatial]
    is_flat = sum(base.sizes[axis.name] > 1 for axis in spatial) < 3
    width, height = ONE_PANEL if is_flat else FOUR_PANELS
    finest = min(spacing.values())
    state = {
        "title": base.name,
        "dimensions": {
            axis.name: [level.scale[axis.name] * _si(axis)[0], _si(axis)[1]] for axis in (*spatial, *others)
        },
        "displayDimensions": [axis.name for axis in spatial],
        "position": list(position.values()),
        "crossSectionScale": max(extents[0] / width, *(extent / height for extent in extents[1:])) / finest,
        "projectionScale": 2 * max(extents) / finest,
        "crossSectionBackgroundColor": "#000000",
        "showAxisLines": False,
        "layout": "xy" if is_flat else "4panel-alt",
    }
    layers = [layer for image in images for layer in _layers(image, address, zarr_format)]
    return {**state, "layers": list(_by_own_names(layers))}


def _index(axis: Axis, spatial: Sequence[Axis], sizes: Mapping[str, int]) -> float:
    """Return which pixel is looked at: the middle of the plane, else the index that `pictures.plane` takes."""
    if axis in spatial[:2]:
        return (sizes[axis.name] - 1) / 2
    return float(sizes[axis.name] // 2) if axis in spatial else 0.0


def _si(axis: Axis) -> tuple[float, str]:
    """Return what one unit of an axis is in metres or seconds, and which of these.

    >>> _si(Axis("x", "space", "micrometer")), _si(Axis("t", "time", None))
    ((1e-06, 'm'), (1.0, ''))
    """
    name = _known_unit(axis)
    if name is None:
        return 1.0, ""
    base = {"space": "meter", "time": "second"}[axis_type(name) or "space"]
    return convert(name, base), base[0]


def _layers(image: Shown, address: str, zarr_format: int) -> Iterator[dict[str, Any]]:
    """Yield the layers of an image, one for each channel, or of labels."""
    if image.dtype.name not in DRAWN and image.dtype.name not in TAKEN:
        raise DtypeError(
            f"Neuroglancer does not show pixels of {image.dtype}, which are those of {image.name!r}; show a copy of "
            'it: tree.omezarr.level(0).astype("float32").omezarr.to_zarr(…), or view(viewer="napari")'
        )
    source = f"{address}{quote(image.path)}{'/' if image.path else ''}|zarr{zarr_format}:"
    if image.colors is not None:
        # the first six digits: how much shines through is a matter of the layer
        # and labels below 0, which it takes for the unsigned numbers of the same bytes
        colors = {str(value % 2**64): color[:7] for value, color in image.colors.items() if value}
        yield {"type": "segmentation", "name": image.name, "source": source, "segmentColors": colors}
        return
    common = {"type": "image", "source": source, "opacity": 1, "blend": "additive"}
    for index, channel in enumerate(image.channels):
        brightness, control = _controls(channel, image.dtype)
        local = {"localDimensions": {f"{image.channel}'": [1, ""]}, "localPosition": [index]} if image.channel else {}
        yield {
            **common,
            **local,
            "name": called(channel, index) if image.channel else channel.label or image.name,
            "visible": channel.active is not False,
            "shader": CHANNEL_SHADER.format(brightness=brightness),
            "shaderControls": {"color": f"#{channel.color}", "normalized": control},
        }


def _controls(channel: Channel, dtype: np.dtype[Any]) -> tuple[str, dict[str, list[Any]]]:
    """Return how bright a channel's pixels are, for its shader, and the control of it.

    That holds what is black, what is bright, and how far both may be moved; text for 64 bits. Of what no pixel can be
    it takes nothing: where a window reaches beyond, the least pixel is not black, or the largest not all bright.
    """
    window = channel.window
    assert window is not None
    # a window of one value is as wide as `pictures.composite` takes it
    start, end = window.start, window.end if window.end != window.start else window.start + 1
    low, high = min(window.min, start, end), max(window.max, start, end)
    if dtype.kind == "f":
        return "normalized()", {"range": [start, end], "window": [low, high]}
    held = np.iinfo(TAKEN["bool"] if dtype.kind == "b" else dtype)
    shown, whole = ([_within(value, held) for value in pair] for pair in ((start, end), (low, high)))
    part, offset = "normalized()", 0
    if dtype.name == "int64":
        if start < 0:
            part, offset = f"normalized({RISING})", SIGN
        else:  # in the values of the pixels, of which those below 0 are black as 0 is
            part, whole = f"({NEGATIVE} ? 0.0 : normalized())", [max(value, 0) for value in whole]
    kind = str if dtype.itemsize == 8 else int
    control = {"range": [kind(value + offset) for value in shown], "window": [kind(value + offset) for value in whole]}
    if held.min <= start and end <= held.max:
        return part, control
    black, bright = ((value - start) / (end - start) for value in shown)
    return f"mix({black:.6f}, {bright:.6f}, {part})", control


def _within(value: float, held: np.iinfo[Any]) -> int:
    return min(max(round(value), int(held.min)), int(held.max))


def _by_own_names(layers: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield layers each under a name of its own, which Neuroglancer knows them by."""
    taken: set[str] = set()
    for layer in layers:
        name, count = layer["name"], 1
        while name in taken:
            count += 1
            name = f"{layer['name']} ({count})"
        taken.add(name)
        yield {**layer, "name": name}


def _client() -> dict[str, bytes | Path]:
    """Return the files of Neuroglancer's client, which its wheel holds, by name; the package is not imported.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    found = find_spec("neuroglancer")
    places = [] if found is None else found.submodule_search_locations or []
    for place in places:
        folder = Path(place, "static", "client")
        if (folder / "index.html").is_file():
            files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".map")
            return {path.relative_to(folder).as_posix(): path for path in files}
    raise MissingDependencyError(
        'Neuroglancer, which shows images in a browser, is not installed; install it: pip install "xomezarr[view]"'
    )


# --- the view --------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class View:
    """An image in Neuroglancer, served on this machine until it is closed, or the process ends.

    In a notebook it is shown inside the cell.

    Parameters
    ----------
    url
        Of the page, for any browser of this machine. Who knows it may read the store.
    state
        What Neuroglancer is told.
    """

    url: str
    state: Mapping[str, Any] = field(repr=False)
    _held: ExitStack = field(repr=False)

    def close(self) -> None:
        """Serve nothing any more, and close the store that was opened for it; a page keeps what it has loaded."""
        self._held.close()

    def wait(self) -> None:
        """Wait until it is interrupted, as by Ctrl-C, and close."""
        with self:
            threading.Event().wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repr_html_(self) -> str:
        url = html.escape(self.url, quote=True)
        frame = f'<iframe src="{url}" width="100%" height="{HEIGHT}" style="border: 0" allowfullscreen></iframe>'
        return f'{frame}<div><a href="{url}" target="_blank">in a window of its own</a></div>'


def view(
    image: xr.DataTree | StoreArgument,
    *,
    labels: bool = True,
    viewer: str = "neuroglancer",
    open_browser: bool | None = None,
    port: int = 0,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Show a stored image in a viewer.

    Parameters
    ----------
    image
        A tree that was opened from a store, or the store. The image is shown as it is stored: all of it, and with the
        channels that the store describes, whatever was cropped, computed or assigned since.
    labels
        Whether its labels are shown too.
    viewer
        ``"neuroglancer"``, in a browser, or ``"napari"``, in a window.
    open_browser
        Whether a browser is opened; left out, it is, but in a notebook, where the image is shown inside the cell.
    port
        Of this machine, at which Neuroglancer and the store are served; 0 for one that is free.
    storage_options
        For URLs, as fsspec takes them.

    Returns
    -------
    View or napari.Viewer
        The first serves until the process ends, or its `close` is called.

    Raises
    ------
    OmeZarrError
        If the tree was not opened from a store, or its pixels are no longer those of one.
    LevelError, NotOmeZarrError
        If it is a plate or a collection; the message names an image in it.
    DtypeError
        If Neuroglancer does not take the pixels.
    MissingDependencyError
        If the viewer is not installed.
    """
    if viewer not in VIEWERS:
        raise OmeZarrError(f"there is no viewer {viewer!r}; give viewer={VIEWERS[0]!r} or {VIEWERS[1]!r}")
    if viewer == "napari":
        return _in_napari(image, labels=labels, storage_options=storage_options)
    files = _client()
    with ExitStack() as held:
        group, close = _stored(image, storage_options)
        if close is not None:
            held.callback(close)
        images = shown(open_tree(group.store_path, labels=labels), group)
        from xomezarr.served import Documents, Events, GroupObjects, Server  # which loads the web server of Python

        server = held.enter_context(Server(port))
        state = neuroglancer_state(images, f"{server.address}{STORE}/", group.metadata.zarr_format)
        server.objects[STORE] = GroupObjects(group, Documents(documents(images, group)))
        server.objects[""] = Documents({"state.json": json.dumps(state).encode()})
        # where the client of the wheel looks for its page, and for the events of a program that drives it
        server.objects["v"] = Documents({f"{PAGE}/{name}": file for name, file in files.items()})
        server.objects["events"] = Events(json.dumps({"k": "c", "s": {}, "g": "0"}).encode())
        # the page by the address of its state: colours of many labels are more than an address may hold
        url = f"{server.address}v/{PAGE}/index.html#!{server.address}state.json"
        made = View(url, state, held.pop_all())
    if not _in_a_notebook() if open_browser is None else open_browser:
        import webbrowser

        webbrowser.open(made.url)
    return made


def _stored(
    image: xr.DataTree | StoreArgument, storage_options: Mapping[str, Any] | None
) -> tuple[zarr.Group, Callable[[], None] | None]:
    """Return the group of an image, and what closes its store, if that was opened here."""
    if isinstance(image, xr.DataTree):
        group = _behind(image)
        if group is not None:
            return group, None
        image, storage_options = image.encoding["source"], None
    group = open_group(image, storage_options=storage_options)
    return group, closer(image, group)


def _behind(tree: xr.DataTree) -> zarr.Group | None:
    """Return the group that a tree reads from; None where it only says from where it was opened."""
    base, image = levels(tree)[0], stored_metadata(tree)
    array = opened_array(base.variable._data)
    if array is not None and image is not None:
        stored, path = array._array, image.multiscale.levels[0].path
        above = stored.path.removesuffix(path)
        if above in ("", f"{above.rstrip('/')}/") and above != stored.path:
            return open_group(zarr.storage.StorePath(stored.store, above.rstrip("/")))
    if tree.encoding.get("source") is None:
        raise OmeZarrError(
            "the tree was not opened from a store, or has forgotten which, and viewers read stores; write it first: "
            "tree.omezarr.to_zarr(…).omezarr.view()"
        )
    return None


def _in_a_notebook() -> bool:
    """Whether what a call returns is shown in a notebook: the kernel of Jupyter runs this process."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _in_napari(image: Any, *, labels: bool, storage_options: Mapping[str, Any] | None) -> Any:
    if find_spec("napari") is None:
        raise MissingDependencyError('napari is not installed; install it: pip install "napari[all]"')
    import napari

    tree = image if isinstance(image, xr.DataTree) else open_tree(image, storage_options=storage_options)
    window = napari.Viewer()
    one = given(tree, labels=labels)
    # windows that the store does not say are those of our own pictures
    channels = () if one.label is not None else completed([one.levels[-1]], one.channels)
    tell_lost("napari", uneven(one), "the image itself still has it")
    for data, options, kind in layers_of(one, channels):
        getattr(window, f"add_{kind}")(data, **options)
    return window
