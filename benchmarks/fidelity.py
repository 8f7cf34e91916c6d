"""Measure whether coarser levels are right: where their pixels lie, what becomes of values, and whether chunks show.

    uv run --no-sync python benchmarks/fidelity.py             prints a table; a minute or two, environments aside
    uv run --no-sync python benchmarks/fidelity.py --report    and writes docs/comparison-fidelity.inc

Each library writes the same small images in an environment of its own, by its natural call (`writers`): once by what it
does when it is told nothing but the levels, once by the mean of blocks. What it wrote is read here with zarr and JSON
alone, so that nobody's reader makes up for anything, xomezarr's included. In pixels of level 0:

position    an image whose value is its own position along an axis; how far the position that the metadata give to a
            pixel of a level is from the one that its value tells, at the worst of all pixels, two at the edge aside
brightness  Poisson counts, 0.5 and 20 on average; the mean of each level as a part of that of level 0
constant    an image of one value; whether all levels have it
chunks      the pixels of all coarser levels that differ when the same image is stored in other chunks
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from workloads import Workload

LEVELS = 4
"""multiscale-spatial-image takes no more of images of these sizes."""
STEP = 64
"""What the value of a ramp grows by from pixel to pixel, so that values that are cut off at each level are no drift."""
EDGE = 2
"""Pixels of a level at its edge that do not count: filters see beyond it."""
SHAPES = {"even": (512, 1024), "odd": (203, 1001)}
CHUNKS = {"whole": (1024, 1024), "small": (33, 33)}
PLACES = (("even", "whole"), ("odd", "whole"), ("odd", "small"))
"""Where positions are measured: sizes, and chunks of the source."""
PHOTONS = {"few": 0.5, "some": 20.0}
NAMES = (
    "xomezarr",
    "ome-zarr",
    "ngff-zarr",
    "multiscale-spatial-image",
    "ome-zarr-pyramid",
    "bioio-ome-zarr",
    "spatialdata",
    "iohub",
)
"""Environments, and the writers of these names."""
SAME = frozenset({"xomezarr", "multiscale-spatial-image", "bioio-ome-zarr", "spatialdata", "iohub"})
"""Those that do the same in both modes: what they do by themselves is the mean, or they have nothing else."""
MODES = {"default": "default", "mean": "mean of blocks"}
DOCS = Path(__file__).resolve().parents[1] / "docs"

type Pixels = NDArray[np.uint16]


def images() -> Mapping[str, Pixels]:
    """Return what is written, by name."""
    random = np.random.default_rng(0)
    made: dict[str, Pixels] = {}
    for kind, shape in SHAPES.items():
        for axis in range(2):
            ramp = STEP * np.indices(shape)[axis]
            made[f"{kind} ramp {axis}"] = ramp.astype("uint16")
    for kind, mean in PHOTONS.items():
        made[f"{kind} photons"] = random.poisson(mean, SHAPES["even"]).astype("uint16")
    made["constant"] = np.full(SHAPES["odd"], 1, "uint16")
    made["noise"] = random.integers(0, 4000, SHAPES["odd"]).astype("uint16")
    return made


def workload(shape: tuple[int, ...], chunks: tuple[int, int]) -> Workload:
    return Workload("fidelity", "small images", "yx", shape, (2, 2), LEVELS, chunks, "zarr")


def store(folder: Path) -> None:
    """Store the images, each in two ways of chunks, for every library to read."""
    for name, pixels in images().items():
        for kind, chunks in CHUNKS.items():
            group = zarr.open_group(folder / f"{name} {kind}.zarr", mode="w")
            group.create_array("image", data=pixels, chunks=chunks)


# --- in the environment of a library ---------------------------------------------------------------------------------


def write(name: str, mode: str, folder: Path) -> None:
    """Write all images with a library, and print what failed, and its version."""
    import writers

    writer = getattr(writers, name.replace("-", "_"))
    failed: dict[str, str] = {}
    for source in sorted(folder.glob("*.zarr")):
        shape = zarr.open_array(source / "image", mode="r").shape
        # output chunks of a size that every level has, whatever those of the source
        target = folder / f"{name} {mode}" / source.name
        target.parent.mkdir(exist_ok=True)
        try:
            writer(source, target, workload(shape, (128, 128)), mode == "mean")
        except Exception as error:
            failed[source.stem] = f"{type(error).__name__}: {error}"[:200]
    print(json.dumps({"version": importlib.metadata.version(name), "failed": failed}))


# --- here ------------------------------------------------------------------------------------------------------------


def levels(path: Path) -> list[tuple[Pixels, list[float], list[float]]]:
    """Return the pixels, scale and translation of each level, by the metadata as they stand."""
    # spatialdata keeps images beside other elements
    place = path / "images" / "image" if (path / "images").is_dir() else path
    group = zarr.open_group(place, mode="r")
    attributes: Any = group.attrs.asdict()
    image = attributes.get("ome", attributes)["multiscales"][0]
    found = []
    for dataset in image["datasets"]:
        array: Any = group[dataset["path"]]
        scale, translation = [1.0] * array.ndim, [0.0] * array.ndim
        transforms = [*dataset["coordinateTransformations"], *image.get("coordinateTransformations", [])]
        for transform in transforms:
            if transform["type"] == "scale":
                scale = [a * b for a, b in zip(scale, transform["scale"], strict=True)]
                translation = [a * b for a, b in zip(translation, transform["scale"], strict=True)]
            elif transform["type"] == "translation":
                translation = [a + b for a, b in zip(translation, transform["translation"], strict=True)]
        # images come without leading dimensions, but some libraries add them
        found.append((array[(0,) * (array.ndim - 2)], scale[-2:], translation[-2:]))
    return found


def misplaced(path: Path, axis: int) -> list[float]:
    """Return, by level, by how many pixels of level 0 a pixel lies at most elsewhere than the metadata say."""
    (_, base, start), *coarser = levels(path)
    errors = []
    for pixels, scale, translation in coarser:
        inside = pixels[EDGE:-EDGE, EDGE:-EDGE].astype(float) / STEP
        told = ((np.arange(pixels.shape[axis]) * scale[axis] + translation[axis]) - start[axis]) / base[axis]
        told = np.expand_dims(told[EDGE:-EDGE], 1 - axis)
        errors.append(float(np.abs(inside - told).max()))
    return errors


def tell(errors: list[float]) -> str:
    """Write errors by level, as they are: rounding to integers alone makes up to half of a `STEP`."""
    return ", ".join(f"{error:.2g}" if error < 1 else f"{error:.3g}" for error in errors)


def brightness(path: Path) -> str:
    """Return the mean of each coarser level as a part of that of level 0."""
    whole, *coarser = [float(pixels.mean()) for pixels, *_ in levels(path)]
    return ", ".join(f"{mean / whole:.0%}" for mean in coarser)


def changed(one: Path, other: Path) -> float:
    """Return the part of the pixels of coarser levels that differ."""
    pairs = [(a, b) for (a, *_), (b, *_) in zip(levels(one)[1:], levels(other)[1:], strict=True)]
    return sum(int((a != b).sum()) for a, b in pairs) / sum(a.size for a, _ in pairs)


def row(name: str, mode: str, folder: Path, told: Mapping[str, Any]) -> list[str]:
    """Measure what a library wrote."""
    place = folder / f"{name} {mode}"

    def at(image: str, chunks: str = "whole") -> Path:
        return place / f"{image} {chunks}.zarr"

    def worst(kind: str, chunks: str) -> str:
        by_axis = [misplaced(at(f"{kind} ramp {axis}", chunks), axis) for axis in range(2)]
        return tell([max(pair) for pair in zip(*by_axis, strict=True)])

    def measured(images: list[str], measure: Any) -> str:
        failing = [image for image in images if image in told["failed"]]
        return "fails" if failing else str(measure())

    cells = [
        measured(
            [f"{kind} ramp {axis} {chunks}" for axis in range(2)], lambda kind=kind, chunks=chunks: worst(kind, chunks)
        )
        for kind, chunks in PLACES
    ]
    cells += [
        measured([f"{kind} photons whole"], lambda kind=kind: brightness(at(f"{kind} photons"))) for kind in PHOTONS
    ]
    constant = ["constant whole", "constant small"]
    cells.append(measured(constant, lambda: "yes" if all(is_constant(place / f"{c}.zarr") for c in constant) else "no"))
    both = ["noise whole", "noise small"]
    cells.append(measured(both, lambda: f"{changed(at('noise'), at('noise', 'small')):.1%}"))
    return [f"{name} {told['version']}", MODES[mode] if name not in SAME else "default", *cells]


def is_constant(path: Path) -> bool:
    return all((pixels == 1).all() for pixels, *_ in levels(path))


HEAD = [
    "library",
    "method",
    "position, 512 × 1024",
    "203 × 1001",
    "in chunks of 33",
    "brightness, 0.5 photons",
    "20 photons",
    "constant",
    "changed by chunks",
]


def markdown(rows: list[list[str]]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    from run import CACHE

    parser = argparse.ArgumentParser(description="Measure whether coarser levels are right.")
    parser.add_argument("--report", action="store_true", help="write the table of the docs")
    parser.add_argument("--environments", type=Path, default=CACHE / "environments", help="folder of the environments")
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        store(folder)
        for name in NAMES:
            python = environments.prepare(options.environments.absolute(), name)
            for mode in MODES if name not in SAME else ("mean" if name == "xomezarr" else "default",):
                command = [str(python), __file__, "--write", name, mode, place]
                answer = subprocess.run(
                    command, capture_output=True, text=True, check=True, env=environments.isolated(), cwd=place
                )
                told = json.loads(answer.stdout.splitlines()[-1])
                rows.append(row(name, mode, folder, told))
                print(*rows[-1], sep="  ", flush=True)
                for image, why in told["failed"].items():
                    print(f"    {image}: {why}", flush=True)
    if options.report:
        when = f"Measured {datetime.now(UTC):%Y-%m-%d} by `benchmarks/fidelity.py`."
        text = f"<!-- made by benchmarks/fidelity.py --report -->\n\n{when}\n\n{markdown(rows)}"
        (DOCS / "comparison-fidelity.inc").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        warnings.filterwarnings("ignore")
        logging.disable()
        name, mode, place = sys.argv[-3:]
        write(name, mode, Path(place))
    else:
        import environments

        main()
