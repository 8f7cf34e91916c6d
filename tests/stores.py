"""What tests of several kinds of files and stores make sure of: that two hold the same, that little is read."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from xomezarr import open_image


def files(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, by their paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def group_attributes(store: Any) -> dict[str, dict[str, Any]]:
    """Return the attributes of all groups, by their paths."""
    root = zarr.open_group(store, mode="r", use_consolidated=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Object at METADATA.ome.xml")
        members = dict(root.members(max_depth=None))
    groups = {path: member for path, member in members.items() if isinstance(member, zarr.Group)}
    return {"": dict(root.attrs), **{path: dict(group.attrs) for path, group in groups.items()}}


def check_same_stores(one: Any, other: Any) -> None:
    """Make sure that all groups of two stores say the same."""
    before, after = group_attributes(one), group_attributes(other)
    assert before.keys() == after.keys()
    for path, attrs in before.items():
        assert after[path] == attrs, path


def check_same_trees(one: xr.DataTree, other: xr.DataTree, *, attrs: bool = True) -> None:
    """Make sure that two trees hold the same, in the same order; with `attrs`, attributes of groups too."""
    paths, others = ([node.path.removeprefix(tree.path).strip("/") for node in tree.subtree] for tree in (one, other))
    assert paths == others
    for path in paths:
        node, like = (tree[path or "."] for tree in (one, other))
        assert not attrs or node.attrs == like.attrs
        assert node.dataset.variables.keys() == like.dataset.variables.keys()
        for name in node.dataset.variables:
            xr.testing.assert_identical(node.dataset[name], like.dataset[name])
            assert node.dataset[name].dtype == like.dataset[name].dtype
        if path.rpartition("/")[0].endswith("labels") and node.children:
            assert node.omezarr.colors == like.omezarr.colors
            assert node.omezarr.properties.equals(like.omezarr.properties)
            assert (node.omezarr.properties.dtypes == like.omezarr.properties.dtypes).all()


def check_a_corner_takes_little_memory(path: Path) -> None:
    """Make sure that of a volume of 512 MiB no more is read than a corner, however it is turned."""
    tracemalloc.start()
    corner = open_image(path).transpose("x", "z", "y")[:5, :7, :100].values
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert corner.shape == (5, 7, 100)
    assert peak < 16 * 2**20
