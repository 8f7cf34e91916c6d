"""The xarray engine ``omezarr``: `xarray.open_datatree`, `xarray.open_dataset` and `xarray.open_dataarray`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from xomezarr.archive import leads_into
from xomezarr.collection import check_single, is_collection, open_collection
from xomezarr.errors import ArchiveError, CoordinateSystemError, NotOmeZarrError, OmeZarrError
from xomezarr.plate import open_plate
from xomezarr.read import open_level, open_tree
from xomezarr.scenes import open_scene
from xomezarr.spec import kinds
from xomezarr.store import SUFFIXES, is_single_file, open_group, resolve

__all__ = ["OmeZarrBackendEntrypoint"]

OPENED = frozenset({"multiscales", "plate", "scene"})
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
        "coordinate_system",
    )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether there are metadata of an OME-Zarr image, of a plate, or of a collection or scene of images.

        Local folders are looked into; a URL must end as OME-Zarr stores do before it is asked. A single file, by its
        name, that cannot be read is claimed too: opening it says why.
        """
        if isinstance(filename_or_obj, str | os.PathLike):
            try:
                target = resolve(filename_or_obj)
                if isinstance(target, str) and not target.rstrip("/").endswith(SUFFIXES):
                    return False
                if isinstance(target, Path) and not target.is_dir() and leads_into(target) is None:
                    return False
            except (OmeZarrError, OSError):  # no path, or none that the system takes
                return False
        try:
            attrs = open_group(filename_or_obj).attrs.asdict()
            return bool(OPENED & kinds(attrs)) or is_collection(attrs)
        except (ArchiveError, PermissionError):  # no other engine opens what is called so: let it be said what is wrong
            return is_single_file(filename_or_obj)
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
        coordinate_system: str | None = None,
    ) -> xr.Dataset:
        """Open one resolution level; see `read.open_level`."""
        try:
            return open_level(
                filename_or_obj,
                level=level,
                group=group,
                storage_options=storage_options,
                drop_variables=drop_variables,
                coordinate_system=coordinate_system,
            )
        except NotOmeZarrError:
            if group is None:
                check_single(filename_or_obj, storage_options)
            raise

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        check: bool = False,
        coordinate_system: str | None = None,
    ) -> xr.DataTree:
        """Open all resolution levels, or all images of a plate, a collection or a scene.

        See `read.open_tree`, `plate.open_plate`, to which `check` belongs, `collection.open_collection` and
        `scenes.open_scene`.
        """
        options: Any = {"storage_options": storage_options, "drop_variables": drop_variables}
        try:
            return open_tree(
                filename_or_obj,
                group=group,
                coordinate_system=coordinate_system,
                **options,
            )
        except NotOmeZarrError:
            # it is looked at again: images, which are many more, are opened with as few requests as can be
            attrs = open_group(filename_or_obj, group=group, storage_options=storage_options).attrs.asdict()
            if coordinate_system is not None and ({"plate", "scene"} & kinds(attrs) or is_collection(attrs)):
                raise CoordinateSystemError(
                    f"coordinate_system={coordinate_system!r} is meant for an image, and {filename_or_obj} holds "
                    "several; open one of them by group=, such as group='A/1/0'"
                ) from None
            if "plate" in kinds(attrs):
                return open_plate(filename_or_obj, check=check, group=group, **options)
            if group is None and is_collection(attrs):
                return open_collection(filename_or_obj, **options)
            if "scene" in kinds(attrs):
                return open_scene(filename_or_obj, group=group, **options)
            raise

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        check: bool = False,
        coordinate_system: str | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open all resolution levels by their paths."""
        tree = self.open_datatree(
            filename_or_obj,
            drop_variables=drop_variables,
            group=group,
            storage_options=storage_options,
            check=check,
            coordinate_system=coordinate_system,
        )
        return {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
