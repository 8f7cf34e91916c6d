"""The xarray engine ``omezarr``: `xarray.open_datatree`, `xarray.open_dataset` and `xarray.open_dataarray`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from xomezarr.errors import NotOmeZarrError
from xomezarr.plate import open_plate
from xomezarr.read import open_level, open_tree
from xomezarr.spec import kinds
from xomezarr.store import SUFFIXES, open_group

__all__ = ["OmeZarrBackendEntrypoint"]

OPENED = frozenset({"multiscales", "plate"})
"""What the metadata of a group have to describe."""


class OmeZarrBackendEntrypoint(BackendEntrypoint):
    """Opens OME-Zarr images and plates; claims a store only after reading OME metadata there."""

    description: ClassVar[str] = "Open OME-Zarr images and plates (.ome.zarr) with their physical coordinates"
    url: ClassVar[str] = ""
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[tuple[str, ...]] = (
        "filename_or_obj",
        "drop_variables",
        "level",
        "group",
        "storage_options",
    )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether there are metadata of an OME-Zarr image or plate.

        Local folders are looked into; a URL must end as OME-Zarr stores do before it is asked.
        """
        if isinstance(filename_or_obj, str | os.PathLike):
            text = os.fspath(filename_or_obj)
            if not isinstance(text, str):
                return False
            remote = "://" in text and not text.startswith("file:")
            if remote and not text.rstrip("/").endswith(SUFFIXES):
                return False
            if not remote and "://" not in text and not Path(text).expanduser().is_dir():
                return False
        try:
            return bool(OPENED & kinds(open_group(filename_or_obj).attrs.asdict()))
        except Exception:  # xarray asks every engine about everything: whatever it is, it is not ours
            return False

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        level: int = 0,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Open one resolution level; see `read.open_level`."""
        return open_level(
            filename_or_obj, level=level, group=group, storage_options=storage_options, drop_variables=drop_variables
        )

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        check: bool = False,
    ) -> xr.DataTree:
        """Open all resolution levels; see `read.open_tree`. Of a plate all images; see `plate.open_plate`."""
        options: dict[str, Any] = {
            "group": group,
            "storage_options": storage_options,
            "drop_variables": drop_variables,
        }
        try:
            return open_tree(filename_or_obj, **options)
        except NotOmeZarrError:
            found = open_group(filename_or_obj, group=group, storage_options=storage_options)
            if "plate" not in kinds(found.attrs.asdict()):
                raise
        return open_plate(filename_or_obj, check=check, **options)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        check: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open all resolution levels by their paths."""
        tree = self.open_datatree(
            filename_or_obj, drop_variables=drop_variables, group=group, storage_options=storage_options, check=check
        )
        return {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
