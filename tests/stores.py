"""Stores that are to hold the same: compared group by group, and as the trees that they are opened as."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import xarray as xr
import zarr


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
