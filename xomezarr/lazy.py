"""Packages that are loaded when they are first used, so that ``import xomezarr`` costs little more than xarray.

xarray imports every engine to ask whether it can open a file: what we import, its users pay for.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zarr as zarr
    import zarr.abc.store
    import zarr.errors
    import zarr.storage
else:

    class _OnUse:
        """Stands for a package; among those that are loaded it does not: who imports that would load parts twice."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):  # who looks at objects of all kinds does not use it
                raise AttributeError(name)
            return getattr(import_module(self._name), name)

    zarr = _OnUse("zarr")

__all__ = ["installed_version", "zarr"]


@cache
def installed_version() -> str:
    """Return the version of this package; asked once, as it is read from a file."""
    from importlib.metadata import version

    return version("xomezarr")
