"""Stores whose documents are spoiled in any place, and all that reads them: no error but ours, and no hang.

The tests try some dozens of spoiled stores; as many as fit in some minutes are tried by

    uv run --all-extras --group test python tests/fuzzing.py --minutes 10
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import io
import json
import random
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import xomezarr
from xomezarr.errors import OmeZarrError

SLOW = 20.0
"""Seconds that nothing may take, on a machine that is busy with other things."""

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
"""What a terminal obeys, and no command is to show."""

DEEP = 10**5
"""How deep documents are that no parser of Python goes through."""


def spoil(data: st.DataObject, metadata: Any, values: st.SearchStrategy[Any]) -> None:
    """Replace one value anywhere in metadata, or remove it."""
    node = metadata
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        if data.draw(st.booleans()):
            del node[key]
        else:
            node[key] = data.draw(values)
        return


# --- what is put into documents --------------------------------------------------------------------------------------

RAW = {
    "@huge@": "1e400",
    "@digits@": "1" * 5000,
    "@long@": "7" * 400,
    "@nan@": "NaN",
    "@infinite@": "-Infinity",
    "@deep@": "[" * DEEP + "]" * DEEP,
    "@deeper@": '{"a":' * 800 + "1" + "}" * 800,
    "@surrogate@": '"\\ud800"',
}
"""What no value of Python is dumped as, by the text that stands for it."""

numbers = st.sampled_from([0, -1, 1, 2, 1e308, 5e-324, -1e-300, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 0.1, 1.5])
paths = st.sampled_from(
    ["..", ".", "", "/", "../..", "0/..", "./0", "0/", "a\\..", "C:/0", "\0", "%2e%2e", "x" * 300, "s3://a/b", "labels"]
)
texts = st.sampled_from(["", "é", "x" * 5000, "\x1b[31m", "space", "micrometer", "0.4", "0.5", "9.9", "image", "a/b"])
leaves = st.none() | st.booleans() | numbers | paths | texts | st.sampled_from(sorted(RAW)) | st.text(max_size=3)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)

WHOLE = (b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * DEEP, bytes(range(256)))
"""What documents are replaced by as a whole."""


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value of a document."""
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield (*path, key)
        yield from _places(node[key], (*path, key))


def _at(node: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        node = node[key]
    return node


def mutate(draw: Callable[[st.SearchStrategy[Any]], Any], document: Any) -> None:
    """Change one thing in a document: anywhere, and in any way."""
    found = list(_places(document))
    if not found:
        return
    *above, key = draw(st.sampled_from(found))
    node = _at(document, tuple(above))
    how = draw(st.sampled_from(["replace", "replace", "delete", "double", "move", "retype", "nest", "rename", "many"]))
    match how:
        case "replace":
            node[key] = draw(values)
        case "delete":
            del node[key]
        case "double" if isinstance(node, list):
            node.insert(key, copy.deepcopy(node[key]))
        case "move":
            node[key] = copy.deepcopy(_at(document, draw(st.sampled_from(found))))
        case "retype":
            one = node[key]
            node[key] = draw(st.sampled_from([str(one), [one], {"a": one}, one and None, not one, [], {}]))
        case "nest":
            for _ in range(draw(st.sampled_from([1, 5, 200]))):
                node[key] = {"a": node[key]} if draw(st.booleans()) else [node[key]]
        case "rename" if isinstance(node, dict):
            node[draw(texts | paths)] = node.pop(key)
        case "many" if isinstance(node[key], list):
            node[key] *= draw(st.sampled_from([0, 2, 50]))


# --- stores ----------------------------------------------------------------------------------------------------------

type Write = Callable[[Path], object]


def _image(dims: str = "cyx") -> xr.DataArray:
    shape = {"t": 2, "c": 2, "z": 3, "y": 16, "x": 20}
    sizes = [shape[dim] for dim in dims]
    da = xr.DataArray(np.random.default_rng(0).poisson(9, sizes).astype("u2"), dims=tuple(dims), name="cells")
    da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.25}, units="um")
    return da.omezarr.assign_channels(["DAPI", {"label": "GFP", "color": "green"}]) if "c" in dims else da


def _labeled(path: Path, version: str, **kwargs: Any) -> None:
    da = _image()
    da.omezarr.to_zarr(path, version=version, levels=2, chunks={"y": 8, "x": 8}, **kwargs)
    labels = (da.isel(c=0, drop=True) > 9).astype("u2")
    labels.omezarr.to_labels(path, "nuclei", colors={1: "yellow"}, properties={"label": [1], "area": [3.5]})


STORES: Mapping[str, Write] = {
    "image-0.4": lambda path: _labeled(path, "0.4"),
    "image-0.5": lambda path: _labeled(path, "0.5"),
    "image-0.6": lambda path: _labeled(path, "0.6"),
    "shards": lambda path: _image().omezarr.to_zarr(
        path, version="0.5", levels=2, chunks={"y": 4, "x": 4}, shards={"y": 8, "x": 8}
    ),
    "xarray": lambda path: _image("tyx").omezarr.to_zarr(path, version="0.5", levels=2, layout="xarray"),
    "plate-0.4": lambda path: xomezarr.write_plate({("A", 1): [_image()], ("B", 2): [_image()]}, path),
    "plate-0.5": lambda path: xomezarr.write_plate({("A", 1): [_image()]}, path, version="0.5"),
    "collection": lambda path: xomezarr.write_collection({"one": _image(), "two": _image()}, path),
    "scene": lambda path: xomezarr.write_scene({"a": _image(), "b": _image()}, path, transforms={"b": {"x": 3.0}}),
}
"""What is spoiled."""


def _read(path: Path) -> None:
    tree = xr.open_datatree(path, engine="omezarr")
    for node in tree.subtree:
        for variable in node.dataset.data_vars.values():
            variable.isel({dim: slice(0, 2) for dim in variable.dims}).to_numpy()


def _read_level(path: Path) -> None:
    xr.open_dataarray(path, engine="omezarr", chunks={}).isel(x=slice(1), missing_dims="ignore").to_numpy()


def _by_command(*words: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        from xomezarr.cli import TRACEBACK, main

        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            code = main([words[0], str(path), *words[1:]])
        assert code in (0, 1), f"exit code {code}: {told.getvalue()}"
        assert "Traceback" not in told.getvalue(), told.getvalue()
        # what the command says of errors that are neither ours nor the system's
        assert TRACEBACK not in told.getvalue(), told.getvalue()
        assert not OBEYED.search(told.getvalue()), repr(told.getvalue())

    return run


def _labels(path: Path) -> None:
    da = xr.open_dataarray(path, engine="omezarr")
    (da > 5).astype("u1").omezarr.plan(path.with_name("new.ome.zarr"))


USES: Mapping[str, Callable[[Path], object]] = {
    "open_datatree": _read,
    "open_dataarray": _read_level,
    "open_plate": xomezarr.open_plate,
    "validate": lambda path: str(xomezarr.validate(path)),
    "validate pixels": lambda path: str(xomezarr.validate(path, grids=True, chunks=True)),
    "plan": _labels,
    "info": _by_command("info"),
    "upgrade": _by_command("upgrade", "--dry-run"),
    "scale": _by_command("scale", "nowhere.ome.zarr", "--dry-run"),
}
"""All that reads a store, and writes nothing."""


class Templates:
    """Stores of every kind, of which a document at a time is spoiled, and put back.

    Parameters
    ----------
    folder
        Where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = {name: folder / f"{name}.ome.zarr" for name in STORES}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, path in self.paths.items():
                STORES[name](path)
        self.documents = {
            name: sorted(one for one in path.rglob("*") if one.name in DOCUMENTS) for name, path in self.paths.items()
        }

    @contextlib.contextmanager
    def spoiled(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Iterator[Path]:
        """Spoil a document, or two."""
        name = draw(st.sampled_from(sorted(self.paths)))
        files = self.documents[name]
        # the root says most
        chosen = {draw(st.sampled_from([files[0], *files])) for _ in range(draw(st.integers(1, 2)))}
        chosen |= {self.paths[name] / ".zattrs"} & {*files} if draw(st.booleans()) else set()
        kept = {file: file.read_bytes() for file in sorted(chosen)}
        try:
            for file, content in kept.items():
                file.write_bytes(_spoiled(draw, content))
            yield self.paths[name]
        finally:
            for file, content in kept.items():
                file.write_bytes(content)


DOCUMENTS = frozenset({"zarr.json", ".zattrs", ".zgroup", ".zarray"})


def _spoiled(draw: Callable[[st.SearchStrategy[Any]], Any], content: bytes) -> bytes:
    if draw(st.integers(0, 19)) == 0:
        return draw(st.sampled_from([*WHOLE, content[: len(content) // 2], content.decode().encode("utf-16")]))
    document = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        mutate(draw, document)
    text = json.dumps(document)
    for stands, raw in RAW.items():
        text = text.replace(json.dumps(stands), raw)
    return text.encode()


def use(path: Path, how: str) -> str:
    """Use a store in a way; return what came of it.

    Raises
    ------
    Exception
        Whatever is neither an error of ours nor one of the system.
    """
    begun = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            USES[how](path)
            told = "right"
        except (OmeZarrError, OSError) as error:
            if not str(error):
                raise AssertionError(f"{type(error).__name__} says nothing") from error
            told = type(error).__name__
    took = time.monotonic() - begun
    assert took < SLOW, f"{how} took {took:.0f} s"
    return told


def main() -> int:
    """Spoil stores for some minutes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp())
    templates, told = Templates(folder), Counter[str]()
    until = time.monotonic() + 60 * asked.minutes
    stores = 0
    print(f"seed {seed}", flush=True)

    @given(st.data())
    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def spoil_some(data: st.DataObject) -> None:
        nonlocal stores
        with templates.spoiled(data.draw) as path:
            stores += 1
            for how in USES:
                faulthandler.dump_traceback_later(10 * SLOW, exit=True)
                told[use(path, how)] += 1
        faulthandler.cancel_dump_traceback_later()

    from hypothesis import seed as seeded

    try:
        while time.monotonic() < until:
            seeded(seed)(spoil_some)()
            seed += 1
            print(f"{stores} stores, {told.total()} uses: {dict(told.most_common())}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
