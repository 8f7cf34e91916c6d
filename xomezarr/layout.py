"""Layouts of an image: where the arrays of its levels lie below its group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xomezarr.errors import LayoutError

__all__ = [
    "FLAT",
    "LAYOUTS",
    "NESTED",
    "VARIABLE",
    "array_name",
    "check_layout",
    "layout_of",
    "level_group",
    "level_path",
]

VARIABLE = "image"
"""Name of the one variable of a level's Dataset."""

FLAT, NESTED = "ome", "xarray"

LAYOUTS: Mapping[str, str] = {FLAT: "{level}", NESTED: "{level}/{variable}"}
"""Path of a level's array, by layout; in the nested one its coordinates lie beside it, in a group of their own."""


def check_layout(layout: str | None) -> str | None:
    """Return a layout, which is one of `LAYOUTS`, or left out.

    Raises
    ------
    LayoutError
        If it is not.
    """
    if layout is not None and layout not in tuple(LAYOUTS):
        raise LayoutError(
            f'layout={layout!r} is not known; give layout="ome" for one array a level, or layout="xarray" for groups '
            "with coordinates, which xarray opens by itself"
        )
    return layout


def level_path(layout: str, level: int | str, variable: str) -> str:
    """Return the path of a level's array below the image's group.

    >>> level_path("ome", 1, "image"), level_path("xarray", 1, "image")
    ('1', '1/image')
    """
    return LAYOUTS[layout].format(level=level, variable=variable)


def level_group(path: str) -> str:
    """Return the path of the group that holds a level's array, below the image's group; empty if it is that itself.

    >>> level_group("1/image"), level_group("1")
    ('1', '')
    """
    return path.strip("/").rpartition("/")[0]


def array_name(path: str) -> str:
    """Return the name of a level's array in the group that holds it.

    >>> array_name("1/image"), array_name("1")
    ('image', '1')
    """
    return path.strip("/").rpartition("/")[2]


def layout_of(paths: Sequence[str]) -> str:
    """Tell the layout of an image by the paths of its levels, whoever wrote it.

    It is the nested one where each level has a group of its own, in which its array has the same name, and no number.

    >>> layout_of(["0/image", "1/image"]), layout_of(["scale0/image"]), layout_of(["s0/0", "s0/1"]), layout_of(["0"])
    ('xarray', 'xarray', 'ome', 'ome')
    """
    groups = {level_group(path) for path in paths}
    names = {array_name(path) for path in paths}
    alike = len(names) == 1 and not next(iter(names)).isdecimal()
    return NESTED if alike and "" not in groups and len(groups) == len(paths) else FLAT
