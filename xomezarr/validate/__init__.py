"""Examine a store: the metadata by every rule of `spec` and `checks`, then what is there against the metadata."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xomezarr import checks, spec
from xomezarr.archive import zip_store
from xomezarr.errors import NotOmeZarrError
from xomezarr.report import Finding, Report
from xomezarr.store import address, check_complete, open_group
from xomezarr.validate.arrays import ARRAY_RULES, StoredArray, check_arrays
from xomezarr.validate.collections import examine_collection
from xomezarr.validate.images import examine_image, examine_labels
from xomezarr.validate.nodes import Hierarchy, Node
from xomezarr.validate.plates import examine_plate, examine_well
from xomezarr.validate.scenes import examine_scene

__all__ = ["ARRAY_RULES", "StoredArray", "check_arrays", "validate"]

EXAMINERS: Mapping[str, Callable[[Node], Iterator[Finding]]] = {
    "multiscales": examine_image,
    "bioformats2raw.layout": examine_collection,
    "plate": examine_plate,
    "well": examine_well,
    "labels": examine_labels,
    "scene": examine_scene,
}
"""What is done with each kind of group; the first that a group has counts, as a collection examines its plate."""


def validate(
    store: Any,
    *,
    strict: bool = False,
    grids: bool = False,
    chunks: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Report:
    """Examine what a store holds, metadata and arrays.

    Matrices of transformations are read, and pixels where that is asked for.

    An image is examined with its labels, a plate with its wells and all their images, a collection as bioformats2raw
    lays it out and a scene with all their images; so may be a single well, group of labels or label image.

    Parameters
    ----------
    store
        A path, a URL, or a store of zarr or obstore, whose root is what is to be examined.
    strict
        Let broken SHOULDs count as errors too, as the strict schemas of OME-Zarr do.
    grids
        Check each pyramid against its own pixels too, of which some are read: warn of levels that lie elsewhere than
        their translation says (rule 110), whose pixels have another size than their scale says (111), and of labels
        that are out of step with their image (112). A note (113) names the levels whose pixels do not tell.
    chunks
        Read every chunk of every level: one that cannot be decoded is an error (98). A note (116) counts those that
        are not there, and a warning (117) those that lie beyond their array.
    storage_options
        For URLs, as fsspec takes them.

    Returns
    -------
    Report
        Everything that was found; true where no MUST is broken. What lies in groups below the root is located by
        their paths, as in ``"A/1/0: multiscales[0].axes"``. A version that is not known gives an error that names it.

    Raises
    ------
    StoreNotFoundError
        If there is nothing at that place.
    NotOmeZarrError
        If there is no Zarr group, or one without OME metadata.
    IncompleteStoreError
        If its writing was interrupted, or goes on still.
    """
    group = open_group(store, storage_options=storage_options)
    attrs = group.attrs.asdict()
    shown = os.fspath(store) if isinstance(store, str | os.PathLike) else str(store)
    if not spec.is_ome(attrs):
        check_complete(group)
        raise NotOmeZarrError(
            f"{shown!r} is a Zarr group without OME metadata; give the group of an image, or xarray.open_zarr(store)"
        )
    place = address(store) if isinstance(store, str | os.PathLike) else None
    root = Node(group, attrs, "", Hierarchy(group, spec.detect(attrs), place, storage_options, grids, chunks))
    findings = [*_examine(root), *_examine_file(root)]
    return Report(shown, spec.detect(attrs), tuple(checks.escalate(findings) if strict else findings))


def _examine_file(root: Node) -> Iterator[Finding]:
    """Yield what is wrong with the zip file of which a group is the root, if it is that of one."""
    from xomezarr.validate.single_file import examine_file  # it loads zarr

    file = zip_store(root.group.store)
    if file is not None and not root.group.path:
        yield from examine_file(file, root.hierarchy.version)


def _examine(root: Node) -> Iterator[Finding]:
    yield from root.metadata()
    examine = next((examiner for kind, examiner in EXAMINERS.items() if kind in root.kinds), None)
    if examine is not None:
        yield from examine(root)
