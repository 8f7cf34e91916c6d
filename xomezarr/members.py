"""Several images that are written to one store at once, each in a group of its own: of a plate, or of a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import xarray as xr

from xomezarr import spec
from xomezarr.engine import OnTile
from xomezarr.errors import LabelError, OmeZarrError, collecting
from xomezarr.labelling import parted
from xomezarr.labels import Labels
from xomezarr.lazy import zarr
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan
from xomezarr.planning import Target, known_options, plan_image
from xomezarr.progress import progress_of
from xomezarr.pyramid import VARIABLE, own_attrs
from xomezarr.store import is_local, publish, resolve
from xomezarr.write import check_codecs, consolidate, deferred, fill, told_of_sources

__all__ = ["Member", "Planned", "options_of_each", "plan_members", "write_members"]

type Planned = Mapping[str, tuple[Plan, Pixels]]
"""What is written of each image, by its path in the store."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of the images, with its labels and the attributes of its group."""

    image: xr.DataArray
    labels: Mapping[str, Labels]
    attrs: Mapping[Any, Any]

    @classmethod
    def of(cls, given: Any, error: type[OmeZarrError]) -> Self:
        """Return a DataArray, or a Dataset of an image and its labels, as what is written of it.

        Parameters
        ----------
        given
            What the user gave.
        error
            Raised if it is neither.

        Raises
        ------
        LabelError
            If it cannot be told which variable is the image: nobody can be asked for each of many.
        """
        if isinstance(given, xr.DataArray):
            return cls(given, {}, {})
        if isinstance(given, xr.DataTree):
            raise error("it is a DataTree; give its finest level, of which the others are made: tree.omezarr.level(0)")
        if not isinstance(given, xr.Dataset):
            raise error(
                f"it is a {type(given).__name__}; give a DataArray, or a Dataset of an image and its labels: "
                "xr.DataArray(pixels, dims=('y', 'x'))"
            )
        names = list(given.data_vars)
        try:
            da, labels = parted(given, None, {}, {})
        except LabelError:
            cure = f"name the image so: ds.rename({{{names[0]!r}: {VARIABLE!r}}})" if names else "give it an image"
            raise LabelError(f"it cannot be told which is the image among the variables {names}; {cure}") from None
        return cls(da, labels, own_attrs(given))


def options_of_each(
    options: Mapping[str, Any], call: str, of_one: Mapping[str, str], faults: list[OmeZarrError]
) -> dict[str, Any]:
    """Return the options that count for every image; what is none of these is added to `faults`.

    Parameters
    ----------
    options
        What was given beside the parameters of the call, and the options of `Target.asked`.
    call
        Its name.
    of_one
        Options of `to_zarr` that are said of one image, and what to do instead.
    """
    faults += [OmeZarrError(f"{name}= is said of one image; {of_one[name]}") for name in options if name in of_one]
    return known_options({name: value for name, value in options.items() if name not in of_one}, call, faults)


def plan_members(
    members: Mapping[str, Member],
    target: Target,
    options: Mapping[str, Any],
    faults: list[OmeZarrError],
    called: Callable[[str], str],
) -> Planned:
    """Plan all images.

    Parameters
    ----------
    members
        By the paths of their groups.
    target
        Where and how all of it is written.
    options
        Those of `plan_image`, for each.
    faults
        What is wrong is added to them; what is wrong with several images is told once, with the first of them.
    called
        How an image is named in what is told, by its path.

    Returns
    -------
    dict
        Those that can be written.
    """
    planned = {}
    known = {str(fault) for fault in faults}  # of the whole, and then of each of its images too
    found: dict[tuple[type[OmeZarrError], str], list[str]] = {}
    for path, member in members.items():
        of_image: list[OmeZarrError] = []
        with collecting(of_image):
            planned[path] = plan_image(
                member.image, target.within(path), [], labels=member.labels, extra=member.attrs, **options
            )
        for fault in of_image:
            if str(fault) in known:
                continue
            found.setdefault((type(fault), str(fault)), []).append(path)
    for (kind, told), paths in found.items():
        more = len(paths) - 1
        others = f" (and {more} other {'images' if more > 1 else 'image'})" if more else ""
        faults.append(kind(f"{called(paths[0])}{others}: {told}"))
    with collecting(faults):
        target.check_not_read_from(*(level for _, pixels in planned.values() for level in _levels(pixels)))
    return planned


def _levels(pixels: Pixels) -> Iterator[xr.DataArray]:
    """Yield what is written of an image and of its labels."""
    yield from pixels.levels
    for of_label in pixels.labels.values():
        yield from of_label.levels


def write_members(
    planned: Planned,
    target: Target,
    finish: Callable[[zarr.Group], None],
    opened: Callable[[Target], xr.DataTree],
    *,
    progress: bool | OnTile | None,
    compute: bool,
) -> xr.DataTree | Any:
    """Write all images, and then what makes them one.

    Parameters
    ----------
    planned
        The images.
    target
        Where and how.
    finish
        Writes the metadata of the whole into its group, the last of them in the place of the mark of a group that is
        being written.
    opened
        Opens what was written.
    progress, compute
        As in `to_zarr`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
    """
    shown = progress_of(progress, target.store)
    tried = {(plan.levels[0].dtype, plan.levels[0].unit, tuple(plan.labels)): plan for plan, _ in planned.values()}
    for plan in tried.values():
        check_codecs(plan)
    if not compute:
        # wherever it is computed, and whatever folder that process works in
        target = replace(target, store=resolve(target.store))

    def write() -> xr.DataTree:
        total = sum(plan.nbytes for plan, _ in planned.values())
        with shown(total) as on_tile:
            _write(planned, target, finish, on_tile)
        return opened(target)

    return deferred(write, resolve(target.store), compute=compute)


def _write(planned: Planned, target: Target, finish: Callable[[zarr.Group], None], on_tile: OnTile | None) -> None:
    for _, pixels in planned.values():
        pixels.check()
    zarr_format = spec.zarr_format(target.version)
    with publish(
        target.store, zarr_format=zarr_format, mode=target.mode, storage_options=target.storage_options
    ) as group:
        for path, (plan, pixels) in planned.items():
            with told_of_sources(pixels):
                fill(group.create_group(path), plan, pixels, on_tile)
        finish(group)
        if not is_local(target.store):
            consolidate(group, zarr_format)
