"""Pyramids against their own pixels: where the levels lie, and how large their pixels are.

Each level is measured against the one before it (`drift`), in parts of both that hold much structure. What pixels tell
is taken for true where it differs from what the metadata say by more than a quarter of a pixel of the level before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.chunks import Chunks
from xomezarr.drift import NOTABLE, STILL, TOO_FEW, UNEXPLAINED, Measured, Piece, Relation, measure
from xomezarr.errors import UNREADABLE_MEMBER
from xomezarr.lazy import zarr
from xomezarr.model import Axis, Level, Multiscale
from xomezarr.presence import reopened
from xomezarr.report import Finding
from xomezarr.source import Source, stored
from xomezarr.store import open_array
from xomezarr.turned import Turn, find, unwritten
from xomezarr.units import same_unit
from xomezarr.validate.arrays import StoredArray

__all__ = ["check_grids", "check_in_step"]

MIB = 2**20

WHOLE = 8 * MIB
"""Bytes up to which a level is read as a whole: more than that is read in parts."""

READ = 64 * MIB
"""Bytes of a level that are decoded at most, as far as `FEWEST` parts allow."""

LARGEST_PART = 256 * MIB
"""Bytes of the chunks of one part beyond which nothing is read."""

FEWEST, MOST = 3, 9
"""Parts in which a level is looked at: a factor takes some, and more tell nothing new."""

SIDES = {1: 4096, 2: 256, 3: 64}
"""Pixels along each side of a part, by the number of dimensions of space, of the chunks that are decoded for it."""

NEEDED = 48
"""Pixels of the coarser level that a part needs along each side, divided by the number of dimensions."""

COUNTABLE = 2.0**40
"""Pixels beyond which halves of one are no longer told from each other, once they are multiplied by a scale."""

CELLS = 4096
"""Places that are considered for parts, and at most as many along one axis."""

STRUCTURED = 0.25
"""Part of the structure of the best place that others must have."""

FAR = 8
"""Pixels by which scales may lead away from what the sizes tell before the sizes are believed where to read."""

EDGE = 2
"""Pixels of a coarser level at the edge of a part that may be made of pixels beyond it."""

TILE, TILES = 16, 256
"""Pixels along each side of a tile of labels, and how many are compared."""

SIGMAS = 4
"""Standard deviations by which what pixels tell must differ from what the metadata say."""

APART = 0.75
"""Pixels of a coarser level that labels may lie beside their image: methods may differ by half a one."""


class _UnreadableError(Exception):
    """Chunks of a level, at `path`, cannot be read."""

    def __init__(self, path: str, error: Exception) -> None:
        super().__init__(str(error))
        self.path = path


@dataclass(frozen=True, slots=True)
class _Stored:
    """A level, and what reads it."""

    level: Level
    source: Source

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a box."""
        try:
            return self.source.read(box)
        except (*UNREADABLE_MEMBER, RuntimeError) as error:
            raise _UnreadableError(self.level.path, error) from error


CURES = {
    UNEXPLAINED: "look whether they show the same, or write the image anew; methods that take no means cannot be told"
}
"""What to do where pixels do not tell, by the reason."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What the pixels of a level say of one dimension, and the metadata, each in pixels of level 0.

    Parameters
    ----------
    level, dim
        Which; `axis` is the model's.
    true, stated
        Where the level's pixels lie.
    size
        Number of its pixels.
    pixel
        Of the level before.
    first
        Level 0, whose scale and translation are in the unit of the axis.
    """

    level: Level
    axis: Axis
    true: Relation
    stated: Relation
    size: int
    pixel: float
    first: Level

    @property
    def off(self) -> tuple[float, float]:
        """By how much the metadata put the first and the last pixel too far."""
        last = self.size - 1
        return self.stated.at(0) - self.true.at(0), self.stated.at(last) - self.true.at(last)


def check_grids(
    group: zarr.Group, multiscale: Multiscale, arrays: Sequence[StoredArray | None], *, labels: bool = False
) -> Iterator[Finding]:
    """110, 111 (own): levels lie, and have the pixels, that the metadata say. 112 (own): so do those of labels.

    Parameters
    ----------
    group
        Of the image.
    multiscale
        What the metadata say.
    arrays
        Those of the levels that are there.
    labels
        Whether it is an image of labels.

    Yields
    ------
    Finding
        113 (own) names the levels that their pixels do not tell; 98 (own) one whose chunks cannot be read.
    """
    found = [
        _Stored(level, stored(Chunks(reopened(open_array(group, array.path)))))
        for level, array in zip(multiscale.levels, arrays, strict=True)
        if array is not None
        and len(array.shape) == len(multiscale.axes)
        and all(array.shape)  # rule 108
        and array.dtype is not None
    ]
    if not multiscale.placed or len(found) < 2 or found[0].level is not multiscale.levels[0]:
        return
    if any(one.source.dtype.kind not in "biufc" for one in found):
        return
    if not all(_is_near(found[0].level, one.level, multiscale.dims) for one in found):
        return  # rules 91 and 97
    pick = _pick(multiscale, found)
    # the last level of which it is known where it lies, and where that is: others follow from it, be it not the next
    base, true = found[0], dict.fromkeys(multiscale.dims, Relation(1.0, 0.0))
    unknown: dict[str, list[str]] = {}
    unread: set[str] = set()
    for before, after in itertools.pairwise(found):
        stated = _stated(multiscale, base, after)
        try:
            look = _Look(multiscale, base, after, stated, pick)
            pieces = look.pieces([stated[dim] for dim in look.dims])
            told, other = look.told(pieces, labels)
        except _UnreadableError as error:
            if error.path not in unread:
                unread.add(error.path)
                fault, _, cure = str(error).rpartition("; ")
                yield Finding("98", "error", error.path, fault or cure, cure if fault else "copy the store again")
            continue
        if other:
            yield Finding("114", "warning", after.level.path, other, f"write it anew from {base.level.path!r}")
            continue
        if labels and (invented := _invented(look, pieces)):
            shown = ", ".join(map(str, invented[:3])) + (", …" if len(invented) > 3 else "")
            yield Finding(
                "115",
                "warning",
                after.level.path,
                f"it has labels where {base.level.path!r} does not have them: {shown}",
                'make it by a method that keeps values, "mode" or "nearest"',
            )
        there = {}
        for dim, one in told.items():
            if one.relation is None:
                unknown.setdefault(one.reason, []).append(f"{dim!r} of {after.level.path!r}")
                continue
            there[dim] = _believed(one.relation, one, stated[dim], after, multiscale.dims.index(dim)).after(true[dim])
            yield from _faults(_step(multiscale, found[0], before, after, dim, there[dim]), labels)
        if len(there) == len(told):
            base, true = after, {**true, **there}
    for reason, where in unknown.items():
        cure = CURES.get(reason, "make sure of it by an image with more structure that the same program writes")
        yield Finding("113", "note", found[0].level.path, f"where {', '.join(where)} lies is not known: {reason}", cure)


def _is_near(first: Level, level: Level, dims: Iterable[str]) -> bool:
    """Whether a level lies, by the metadata, where pixels of another can be counted."""
    for dim in dims:
        scale, own = first.scale[dim], level.scale[dim]
        if not (math.isfinite(scale) and math.isfinite(own) and min(scale, own) > 0):
            return False
        ratio, off = own / scale, (level.translation[dim] - first.translation[dim]) / scale
        if not (1 / COUNTABLE < ratio < COUNTABLE and abs(off) < COUNTABLE):  # NaN is not
            return False
    return True


def _stated(multiscale: Multiscale, before: _Stored, after: _Stored) -> dict[str, Relation]:
    """Return what the metadata say of a level, in pixels of the one before."""
    relations = {}
    for axis, name in enumerate(multiscale.dims):
        scale = before.level.scale[name]
        relation = Relation(
            after.level.scale[name] / scale,
            (after.level.translation[name] - before.level.translation[name]) / scale,
        )
        same = before.source.shape[axis] == after.source.shape[axis]
        near = abs(relation.scale - 1) < 1e-6 and abs(relation.offset) < 1e-3
        relations[name] = STILL if same and near else relation
    return relations


def _believed(found: Relation, told: Measured, stated: Relation, after: _Stored, axis: int) -> Relation:
    """Return what pixels tell where it differs from what is stated, else that."""
    last = after.source.shape[axis] - 1
    for index in (0, last):
        sigma = math.hypot(told.sigma_offset, index * told.sigma_scale)
        if abs(found.at(index) - stated.at(index)) > max(0.8 * NOTABLE, SIGMAS * sigma):
            return found
    return stated


def _step(multiscale: Multiscale, first: _Stored, before: _Stored, after: _Stored, dim: str, true: Relation) -> _Step:
    axis = multiscale.dims.index(dim)
    scale = first.level.scale[dim]
    stated = Relation(
        after.level.scale[dim] / scale, (after.level.translation[dim] - first.level.translation[dim]) / scale
    )
    pixel = before.level.scale[dim] / scale
    return _Step(after.level, multiscale.axes[axis], true, stated, after.source.shape[axis], pixel, first.level)


def _faults(step: _Step, labels: bool) -> Iterator[Finding]:
    """Yield what differs by more than a quarter of a pixel of the level before."""
    name, path, first = step.axis.name, step.level.path, step.first
    begin, end = step.off
    if abs(begin) > NOTABLE * step.pixel:
        place = first.translation[name] + step.true.offset * first.scale[name]
        told = f"along {name!r}, its pixels lie {_distance(step, begin)} {_side(begin)} where its translation puts them"
        yield Finding("112" if labels else "110", "warning", path, told, f"give it the translation {place:.6g}")
    if abs(end - begin) > NOTABLE * step.pixel:
        scale = step.true.scale * first.scale[name]
        told = (
            f"along {name!r}, its pixels are {step.true.scale:.6g} pixels of level 0 apart, and its scale says "
            f"{step.stated.scale:.6g}: the last one lies {_distance(step, end)} {_side(end)} where it is said to"
        )
        yield Finding("112" if labels else "111", "warning", path, told, f"give it the scale {scale:.6g}")


def _invented(look: _Look, pieces: Sequence[Piece]) -> list[int]:
    """115 (own): return the labels of a level that the level before does not have there, or a pixel beside."""
    about = [_about(look.stated[dim], *pair) for dim, pair in zip(look.dims, look.sizes, strict=True)]
    found: set[int] = set()
    for piece in pieces if {look.before.source.dtype.kind, look.after.source.dtype.kind} <= {"i", "u"} else ():
        tiles = list(itertools.product(*(range(0, size, TILE) for size in piece.coarse.shape)))
        for tile in tiles[:: max(1, len(tiles) // TILES)]:
            under = tuple(
                slice(
                    max(math.floor(one.at(start + begin - 1.5)) - first, 0),
                    max(math.ceil(one.at(start + begin + TILE + 0.5)) - first, 0),
                )
                for one, start, begin, first in zip(about, tile, piece.coarse_start, piece.fine_start, strict=True)
            )
            box = tuple(
                slice(start + EDGE * (first > 0), min(start + TILE, size - EDGE * (whole > first + length)))
                for start, size, first, length, (whole, _) in zip(
                    tile, piece.coarse.shape, piece.fine_start, piece.fine.shape, look.sizes, strict=True
                )
            )
            found |= set(np.unique(piece.coarse[box]).tolist()) - set(np.unique(piece.fine[under]).tolist())
    return sorted(found)


def _distance(step: _Step, off: float) -> str:
    """Tell a distance in pixels of level 0, and in the unit of the axis."""
    unit = f" ({_short(off * step.first.scale[step.axis.name])} {step.axis.unit})" if step.axis.unit else ""
    return f"{_short(off)} pixels of level 0{unit}"


def _short(number: float) -> str:
    """Write a distance with three digits, or to the whole number.

    >>> _short(-0.25), _short(1001.2)
    ('0.25', '1001')
    """
    return f"{abs(number):.3g}" if abs(number) < 100 else f"{abs(number):.0f}"


def _side(off: float) -> str:
    return "before" if off > 0 else "behind"


# --- parts of levels -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Look:
    """A level beside one before it.

    Parameters
    ----------
    multiscale
        What the metadata say.
    before, after
        Both levels.
    stated
        Where the metadata put the later one in the one before, by the name of the dimension.
    pick
        Where both are looked at.
    """

    multiscale: Multiscale
    before: _Stored
    after: _Stored
    stated: Mapping[str, Relation]
    pick: _Pick

    @property
    def space(self) -> list[int]:
        """Dimensions of space."""
        return [axis for axis, one in enumerate(self.multiscale.axes) if one.type == "space"]

    @property
    def alike(self) -> bool:
        """Whether both have the same size along the other dimensions."""
        others = set(range(len(self.multiscale.axes))) - set(self.space)
        return all(self.before.source.shape[axis] == self.after.source.shape[axis] for axis in others)

    @property
    def dims(self) -> list[str]:
        """Their names."""
        return [self.multiscale.dims[axis] for axis in self.space]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Of both levels, along these."""
        return [(self.before.source.shape[axis], self.after.source.shape[axis]) for axis in self.space]

    def told(self, pieces: Sequence[Piece], labels: bool) -> tuple[dict[str, Measured], str]:
        """Measure the level along the dimensions of space that shrink, and say what else it shows than it should.

        `pieces` are those that lie where the metadata say.
        """
        relations = [self.stated[dim] for dim in self.dims]
        wanted = [dim for dim, one in zip(self.dims, relations, strict=True) if not one.still]
        if not wanted:
            return {}, ""
        if not self.alike:
            return dict.fromkeys(wanted, Measured(None, reason="other dimensions than those of space change too")), ""
        if not pieces:
            return dict.fromkeys(wanted, Measured(None, reason="its chunks are too large to look into")), ""
        # a level that is said to lie elsewhere can only be measured where it may be
        expected = [
            _about(one, *pair) if _is_beside(one, *pair) else one
            for one, pair in zip(relations, self.sizes, strict=True)
        ]
        found, other = measure(pieces, expected, self.sizes, labels=labels), ""
        reasons = {one.reason for one, relation in zip(found, relations, strict=True) if not relation.still}
        if reasons == {UNEXPLAINED}:
            turn = self._turn(pieces)
            if turn is not None and turn.is_upright:
                moved = self._moved(turn)
                found = measure(self.pieces(moved), moved, self.sizes, labels=labels)
            elif turn is not None:
                other = self._shown(turn)
        elif reasons == {TOO_FEW} and unwritten(pieces, self.sizes):
            other = f"all its pixels are 0, and no means of those of {self.before.level.path!r} are"
        told = dict(zip(self.dims, found, strict=True))
        return {dim: told[dim] for dim in wanted}, other

    def pieces(self, relations: Sequence[Relation]) -> list[Piece]:
        """Read parts of both levels that lie at the same place by the relations of the dimensions of space."""
        wanted = self.alike and not all(one.still for one in relations)
        return list(_pieces(self.before, self.after, self.space, relations, self.pick)) if wanted else []

    def _turn(self, pieces: Sequence[Piece]) -> Turn | None:
        """Look for the level before in all of this one, if that is small enough."""
        source, whole = self.after.source, [slice(0, size) for _, size in self.sizes]
        if _bytes(source, self.pick.box(source, self.space, whole)) > WHOLE:
            return None
        return find(pieces, self.sizes, self.pick.read(self.after, self.space, whole))

    def _moved(self, turn: Turn) -> list[Relation]:
        """Return where the level lies by what was found."""
        relations = []
        for (fine, coarse), dim, by in zip(self.sizes, self.dims, turn.moved, strict=True):
            stated = self.stated[dim]
            scale = stated.scale if abs(stated.scale - fine / coarse) * coarse < FAR else fine / coarse
            relations.append(stated if stated.still else Relation(scale, (scale - 1) / 2 - round(by) * scale))
        return relations

    def _shown(self, turn: Turn) -> str:
        """Say how a level that is mirrored or turned lies."""
        mirrored = [repr(dim) for dim, is_so in zip(self.dims, turn.mirrored, strict=True) if is_so]
        exchanged = [repr(dim) for axis, dim in enumerate(self.dims) if turn.order[axis] != axis]
        ways = [f"with {' and '.join(exchanged)} exchanged"] if exchanged else []
        ways += [f"mirrored along {' and '.join(mirrored)}"] if mirrored else []
        return f"its pixels are those of {self.before.level.path!r} {', '.join(ways)}"


@dataclass(frozen=True, slots=True)
class _Pick:
    """Where an image is looked at: at which index of the dimensions that are not of space, and where in space.

    `overview` is a coarse level there, by which places with structure are found; None if none is small enough.
    """

    index: Mapping[int, int]
    overview: NDArray[np.float64] | None

    def box(self, source: Source, space: Sequence[int], parts: Sequence[slice]) -> tuple[slice, ...]:
        """Return a box of a level from its parts along the dimensions of space."""
        along = dict(zip(space, parts, strict=True))
        return tuple(
            along[axis] if axis in along else slice(self.index[axis], self.index[axis] + 1)
            for axis in range(len(source.shape))
        )

    def read(self, stored: _Stored, space: Sequence[int], parts: Sequence[slice]) -> NDArray[Any]:
        """Return these pixels, with the dimensions of space alone."""
        found = stored.read(self.box(stored.source, space, parts))
        return np.ascontiguousarray(found.reshape([part.stop - part.start for part in parts]))


def _pick(multiscale: Multiscale, found: Sequence[_Stored]) -> _Pick:
    """Choose the channel, the time and so on where the pixels differ most, by the coarsest level of some size."""
    space = [axis for axis, one in enumerate(multiscale.axes) if one.type == "space"]
    others = [axis for axis in range(len(multiscale.axes)) if axis not in space]
    middle = _Pick(dict.fromkeys(others, 0), None)
    small = [one.source for one in found if math.prod(one.source.shape) * one.source.dtype.itemsize <= WHOLE]
    if not small or not space:
        return middle
    try:
        pixels = small[0].read(tuple(slice(0, size) for size in small[0].shape))
    except (*UNREADABLE_MEMBER, RuntimeError):
        return middle
    numbers = np.nan_to_num(np.asarray(pixels.real, np.float32), posinf=0, neginf=0)
    spread = numbers.std(axis=tuple(space), dtype=np.float64)
    best = np.unravel_index(int(np.argmax(spread)), spread.shape)
    index = {axis: int(one) for axis, one in zip(others, best, strict=True)}
    if any(index[axis] >= one.source.shape[axis] for axis in others for one in found):
        return middle
    return _Pick(index, numbers[tuple(index.get(axis, slice(None)) for axis in range(numbers.ndim))])


def _pieces(
    fine: _Stored, coarse: _Stored, space: Sequence[int], stated: Sequence[Relation], pick: _Pick
) -> Iterator[Piece]:
    """Read parts of two levels that lie at the same place; none if chunks are too large."""
    sizes = [(fine.source.shape[axis], coarse.source.shape[axis]) for axis in space]
    whole = [slice(0, size) for size, _ in sizes]
    if _bytes(fine.source, pick.box(fine.source, space, whole)) <= WHOLE:
        places = [tuple(whole)]
    else:
        places = _places(fine.source, space, stated, pick)
    about = [_about(relation, *pair) for relation, pair in zip(stated, sizes, strict=True)]
    for place in places:
        under = [_covered(part, one, pair[1]) for part, one, pair in zip(place, about, sizes, strict=True)]
        if all(part.stop > part.start for part in under):
            starts = (tuple(part.start for part in parts) for parts in (place, under))
            yield Piece(pick.read(fine, space, place), pick.read(coarse, space, under), *starts)


def _bytes(source: Source, box: Sequence[slice]) -> int:
    """Return how much is decoded to read a box."""
    count = source.dtype.itemsize
    for part, size, chunk in zip(box, source.shape, source.chunks, strict=True):
        count *= min(-(-part.stop // chunk) * chunk, size) - part.start // chunk * chunk
    return count


def _about(stated: Relation, fine: int, coarse: int) -> Relation:
    """Return where to look for a level: where the metadata say, unless that is far from what the sizes tell.

    A level of which they put less than half into the level before is looked for all over that.
    """
    ratio = fine / coarse
    near = abs(stated.scale - ratio) * coarse < FAR and not _is_beside(stated, fine, coarse)
    return stated if near else Relation(ratio, (ratio - 1) / 2)


def _is_beside(stated: Relation, fine: int, coarse: int) -> bool:
    """Whether the metadata put less than half of a level into the one before."""
    under = _covered(slice(0, fine), stated, coarse)
    return 2 * int(under.stop - under.start) < coarse


def _covered(part: slice, relation: Relation, size: int) -> slice:
    """Return the coarser pixels whose places lie in a part."""
    first = math.ceil((part.start - relation.offset) / relation.scale)
    last = math.floor((part.stop - 1 - relation.offset) / relation.scale)
    return slice(min(max(first, 0), size), min(max(last + 1, 0), size))


def _places(fine: Source, space: Sequence[int], stated: Sequence[Relation], pick: _Pick) -> list[tuple[slice, ...]]:
    """Choose parts of a level that hold structure and lie far from each other, as many as may be read."""
    side = SIDES[min(len(space), 3)]
    lattice = []
    for axis, relation in zip(space, stated, strict=True):
        size, chunk = fine.shape[axis], fine.chunks[axis]
        need = 1 if relation.still and chunk == 1 else NEEDED * max(round(relation.scale), 1) // len(space) + 8
        length = min(size, max(need, min(chunk, side)))
        step = max(chunk, length, -(-size // CELLS // chunk) * chunk)
        starts = np.minimum(np.arange(0, size, step), size - length)
        lattice.append([slice(int(start), int(start) + length) for start in np.unique(starts)])
    thin = max(1, math.ceil((math.prod(map(len, lattice)) / CELLS) ** (1 / len(space))))
    places = list(itertools.product(*(parts[::thin] for parts in lattice)))
    cost = _bytes(fine, pick.box(fine, space, places[0]))
    if cost > LARGEST_PART:
        return []
    count = min(MOST, max(FEWEST, READ // cost))
    shape = [fine.shape[axis] for axis in space]
    return _far_apart(places, _structure(places, shape, pick.overview), shape, count)


def _structure(
    places: Sequence[tuple[slice, ...]], shape: Sequence[int], overview: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return how much neighbours differ in each part, by a coarse level of the same image."""
    if overview is None:
        return np.ones(len(places))
    steps = np.zeros(overview.shape)
    for axis, size in enumerate(overview.shape):
        if size > 1:
            along = np.abs(np.diff(overview, axis=axis))
            steps += np.concatenate([along, np.take(along, [-1], axis)], axis)
    ratios = [size / whole for size, whole in zip(overview.shape, shape, strict=True)]
    return np.array([steps[_scaled(place, ratios, steps.shape)].mean() for place in places])


def _scaled(place: Sequence[slice], ratios: Sequence[float], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the pixels of a coarse level under a part, at least one along each dimension."""
    return tuple(
        slice(min(int(part.start * ratio), size - 1), max(math.ceil(part.stop * ratio), int(part.start * ratio) + 1))
        for part, ratio, size in zip(place, ratios, shape, strict=True)
    )


def _far_apart(
    places: Sequence[tuple[slice, ...]], structure: NDArray[np.float64], shape: Sequence[int], count: int
) -> list[tuple[slice, ...]]:
    """Take the part with most structure, then again and again the one that is farthest from those taken."""
    good = [int(one) for one in np.flatnonzero(structure >= STRUCTURED * structure.max())]
    centres = np.array([[(part.start + part.stop) / 2 for part in places[one]] for one in good]) / np.array(shape)
    taken = [int(np.argmax(structure[good]))]
    nearest = np.full(len(good), np.inf)
    while len(taken) < min(count, len(good)):
        nearest = np.minimum(nearest, np.square(centres - centres[taken[-1]]).sum(axis=1))
        taken.append(int(np.argmax(nearest)))
    return [places[good[one]] for one in taken]


# --- labels ----------------------------------------------------------------------------------------------------------


def check_in_step(
    label: Multiscale,
    image: Multiscale,
    label_sizes: Sequence[Mapping[str, int] | None],
    image_sizes: Sequence[Mapping[str, int] | None],
) -> Iterator[Finding]:
    """112 (own): the metadata put labels where they put the pixels of their image.

    Coarser levels may lie half a pixel beside those of the image, as methods take their samples there. Along
    dimensions of different sizes nothing is compared: rule 49 tells these.

    Parameters
    ----------
    label, image
        What the metadata say of both.
    label_sizes, image_sizes
        Of the axes, level by level; None for an array that is not there.
    """
    if not (label.placed and image.placed):
        return
    units = {axis.name: axis.unit for axis in image.axes}
    shared = [one.name for one in label.axes if one.type == "space" and same_unit(one.unit, units.get(one.name))]
    for index, (mine, other, own, its) in enumerate(
        zip(label.levels, image.levels, label_sizes, image_sizes, strict=False)
    ):
        alike = [dim for dim in shared if own is not None and its is not None and own[dim] == its.get(dim)]
        for dim in alike:
            if not _is_near(other, mine, [dim]):  # rules 91 and 97
                continue
            off = _beside(mine, other, dim, (own or {})[dim])
            if abs(off) > (APART if index else NOTABLE):
                told = (
                    f"along {dim!r}, the metadata put these labels {abs(off):.3g} pixels "
                    f"{'behind' if off > 0 else 'before'} those of their image"
                )
                cure = f"give them its scale and translation, {other.scale[dim]:.6g} and {other.translation[dim]:.6g}"
                yield Finding("112", "warning", mine.path, told, cure)


def _beside(mine: Level, other: Level, dim: str, size: int) -> float:
    """Return by how many pixels of the image labels lie behind it, at the end where that is most."""
    ends = (0, size - 1)
    off = [
        mine.translation[dim] - other.translation[dim] + (mine.scale[dim] - other.scale[dim]) * index for index in ends
    ]
    return max(off, key=abs) / other.scale[dim]
