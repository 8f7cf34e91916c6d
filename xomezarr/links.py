"""Links that lead out of a folder: what is there is others' too, and is not changed."""

from __future__ import annotations

import os

from xomezarr.errors import StoreExistsError

__all__ = ["check_inside", "check_kept"]


def check_inside(root: str | os.PathLike[str], path: str) -> None:
    """Refuse a path below a folder that leads out of it.

    Raises
    ------
    StoreExistsError
        If a link leads it out.
    """
    around = os.path.realpath(root)
    place = os.path.realpath(os.path.join(around, path))  # noqa: PTH118 - for each level
    if place != around and not place.startswith(f"{around.rstrip(os.sep)}{os.sep}"):
        raise StoreExistsError(
            f"{path!r} of {os.fspath(root)!r}: a link leads out of the store, to {place!r}, and what is there would "
            "change too; put a copy there in place of the link"
        )


def check_kept(root: str | os.PathLike[str], key: str) -> None:
    """Refuse to change what stands under a key, where a folder above it is a link that leads out.

    A link under the key itself is replaced, or removed, and what it leads to stays.

    Raises
    ------
    StoreExistsError
        If one is.
    """
    place = os.fspath(root)
    above, _, _ = key.strip("/").rpartition("/")
    for name in above.split("/") if above else ():
        place = f"{place}/{name}"
        if os.path.islink(place):  # noqa: PTH114 - of each chunk: a Path takes longer
            check_inside(root, above)
            return
