"""Coordinate transformations of OME-Zarr 0.6 as values: they map points, forward and backward, exactly where they can.

A transformation has no names: which coordinate systems it leads from and to is said by who holds it (`routes`).
Points are arrays whose last axis counts the coordinates, in the order of the axes of the system.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Protocol, override

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xomezarr.errors import TransformError

__all__ = [
    "Affine",
    "Bijection",
    "ByDimension",
    "Chain",
    "Divided",
    "Field",
    "Identity",
    "MapAxis",
    "Part",
    "ProjectAxis",
    "Rotation",
    "Samples",
    "Scale",
    "Stored",
    "Transform",
    "Translation",
    "chain",
    "rank",
    "stored",
    "with_stored",
]

type Points = NDArray[np.float64]

ORTHONORMAL_WITHIN = 1e-2
"""How far the product of a rotation and its transpose may be from ones: files give angles with three digits."""


class Transform:
    """Maps points of one coordinate system to another."""

    @property
    def inputs(self) -> int | None:
        """Coordinates that a point has before; None for any number."""
        raise NotImplementedError

    @property
    def outputs(self) -> int | None:
        """Coordinates that a point has afterwards; None for as many as before."""
        return self.inputs

    def __call__(self, points: ArrayLike) -> Points:
        """Map points.

        Parameters
        ----------
        points
            Shape (…, `inputs`).

        Returns
        -------
        numpy.ndarray
            float64, shape (…, `outputs`).

        Raises
        ------
        TransformError
            If they have another number of coordinates, or are no numbers.
        """
        try:
            given = np.asarray(points, np.float64)
        except (TypeError, ValueError) as error:
            raise TransformError(
                f"the points are no array of numbers ({error}); give one whose last axis counts coordinates, such as "
                "[[0, 0], [10, 20]]"
            ) from None
        found = given.shape[-1] if given.ndim else 0
        if not given.ndim or (self.inputs is not None and found != self.inputs):
            raise TransformError(
                f"a point has {found} coordinates, and {type(self).__name__} maps points of {self.inputs}; "
                "give an array whose last axis counts them"
            )
        return self._map(given)

    def _map(self, points: Points) -> Points:
        raise NotImplementedError

    def inverse(self) -> Transform:
        """Return what maps the points back.

        Raises
        ------
        TransformError
            If they cannot be mapped back.
        """
        raise NotImplementedError

    def matrix(self, ndim: int) -> Points | None:
        """Return it as a matrix of shape (`outputs`, `ndim` + 1), the last column a translation; None if it is none.

        Parameters
        ----------
        ndim
            Coordinates of a point before.
        """
        raise NotImplementedError

    def leads_to(self, ndim: int) -> int | None:
        """Return how many coordinates points of `ndim` have afterwards; None if only an unread array tells it."""
        return ndim if self.outputs is None else self.outputs

    def without(self, axes: Collection[int], ndim: int) -> tuple[Transform, tuple[int, ...]] | None:
        """Return what maps points that lack some of their coordinates as this maps whole ones.

        >>> Scale((10.0, 20.0, 30.0)).without({0}, 3)
        (Scale(scale=(20.0, 30.0)), (0,))

        Parameters
        ----------
        axes
            The coordinates that are gone.
        ndim
            Coordinates of a whole point before.

        Returns
        -------
        Transform, tuple of int
            Beside it the coordinates afterwards that are gone as well, ascending: those that come from these alone.
            None where some come from others too, or nothing is left.
        """
        gone = frozenset(axes)
        if not gone:
            return self, ()
        made = self._without(gone, ndim) if len(gone) < ndim else None
        return None if made is None or len(made[1]) == self.leads_to(ndim) else made

    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Transform, tuple[int, ...]] | None:
        return None

    def __matmul__(self, first: Transform) -> Transform:
        """Return what maps as `first` does, and then as this does."""
        return chain([first, self])


@dataclass(frozen=True, slots=True)
class Identity(Transform):
    """Leaves points where they are."""

    @property
    @override
    def inputs(self) -> None:
        return None

    @override
    def _map(self, points: Points) -> Points:
        return points.copy()

    @override
    def inverse(self) -> Identity:
        return self

    @override
    def matrix(self, ndim: int) -> Points:
        return np.eye(ndim, ndim + 1)

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Identity, tuple[int, ...]]:
        return self, tuple(sorted(gone))


@dataclass(frozen=True, slots=True)
class Scale(Transform):
    """Multiplies each coordinate.

    >>> Scale((10.0, 20.0))([1, 2])
    array([10., 40.])
    """

    scale: tuple[float, ...]

    @property
    @override
    def inputs(self) -> int:
        return len(self.scale)

    @override
    def _map(self, points: Points) -> Points:
        return points * self.scale

    @override
    def inverse(self) -> Transform:
        for axis, value in enumerate(self.scale):
            if value == 0 or not np.isfinite(value):
                raise TransformError(f"the scale of axis {axis} is {value}, which nothing undoes; give another number")
        return Divided(self.scale)

    @override
    def matrix(self, ndim: int) -> Points:
        return np.column_stack([np.diag(self.scale), np.zeros(len(self.scale))])

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Scale, tuple[int, ...]]:
        return Scale(_left(self.scale, gone)), tuple(sorted(gone))


@dataclass(frozen=True, slots=True)
class Divided(Transform):
    """Divides each coordinate, as what undoes a scale: to multiply by the reciprocal would round twice."""

    scale: tuple[float, ...]

    @property
    @override
    def inputs(self) -> int:
        return len(self.scale)

    @override
    def _map(self, points: Points) -> Points:
        made: Points = points / np.asarray(self.scale)
        return made

    @override
    def inverse(self) -> Scale:
        return Scale(self.scale)

    @override
    def matrix(self, ndim: int) -> Points:
        return np.column_stack([np.diag(1 / np.asarray(self.scale)), np.zeros(len(self.scale))])

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Divided, tuple[int, ...]]:
        return Divided(_left(self.scale, gone)), tuple(sorted(gone))


@dataclass(frozen=True, slots=True)
class Translation(Transform):
    """Adds to each coordinate.

    >>> Translation((1.0, -1.0))([1, 2])
    array([2., 1.])
    """

    translation: tuple[float, ...]

    @property
    @override
    def inputs(self) -> int:
        return len(self.translation)

    @override
    def _map(self, points: Points) -> Points:
        return points + self.translation

    @override
    def inverse(self) -> Translation:
        return Translation(tuple(-value for value in self.translation))

    @override
    def matrix(self, ndim: int) -> Points:
        return np.column_stack([np.eye(len(self.translation)), self.translation])

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Translation, tuple[int, ...]]:
        return Translation(_left(self.translation, gone)), tuple(sorted(gone))


@dataclass(frozen=True, slots=True)
class MapAxis(Transform):
    """Puts coordinates in another order: the coordinate `i` afterwards is the coordinate ``order[i]`` before.

    >>> MapAxis((2, 0, 1))([10, 20, 30])
    array([30., 10., 20.])
    """

    order: tuple[int, ...]

    def __post_init__(self) -> None:
        if sorted(self.order) != list(range(len(self.order))):
            raise TransformError(
                f"mapAxis {list(self.order)} is no order of {len(self.order)} axes; name each of "
                f"{list(range(len(self.order)))} once"
            )

    @property
    @override
    def inputs(self) -> int:
        return len(self.order)

    @override
    def _map(self, points: Points) -> Points:
        return points[..., list(self.order)]

    @override
    def inverse(self) -> MapAxis:
        return MapAxis(tuple(int(axis) for axis in np.argsort(self.order)))

    @override
    def matrix(self, ndim: int) -> Points:
        return np.eye(ndim, ndim + 1)[list(self.order)]

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[MapAxis, tuple[int, ...]]:
        lost = tuple(axis for axis, before in enumerate(self.order) if before in gone)
        return MapAxis(_counted(_left(self.order, lost), gone)), lost


@dataclass(frozen=True, slots=True)
class ProjectAxis(Transform):
    """Leaves out coordinates, then puts zeros where others are to be.

    >>> ProjectAxis(3, dropped=(0,), created=(2,))([10, 20, 30])
    array([20., 30.,  0.])

    Parameters
    ----------
    count
        Coordinates of a point before.
    dropped
        Those that are left out.
    created
        The places of zeros, afterwards.
    """

    count: int
    dropped: tuple[int, ...] = ()
    created: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for what, axes, size in (("drops", self.dropped, self.count), ("creates", self.created, self.outputs)):
            for axis in axes:
                if not 0 <= axis < size or axes.count(axis) > 1:
                    raise TransformError(
                        f"projectAxis {what} the axes {list(axes)}, and there are {size}; name each once, from 0 to "
                        f"{size - 1}"
                    )

    @property
    @override
    def inputs(self) -> int:
        return self.count

    @property
    @override
    def outputs(self) -> int:
        return self.count - len(self.dropped) + len(self.created)

    @override
    def _map(self, points: Points) -> Points:
        made = np.zeros((*points.shape[:-1], self.outputs))
        made[..., self._places] = points[..., self._left]
        return made

    @property
    def _left(self) -> list[int]:
        return [axis for axis in range(self.count) if axis not in self.dropped]

    @property
    def _places(self) -> list[int]:
        return [axis for axis in range(self.outputs) if axis not in self.created]

    @override
    def inverse(self) -> ProjectAxis:
        if self.dropped:
            raise TransformError(
                f"projectAxis drops the axes {list(self.dropped)}, and what they were cannot be told from the others; "
                "ask for points of the system that it leads to"
            )
        return ProjectAxis(self.outputs, dropped=self.created)

    @override
    def matrix(self, ndim: int) -> Points:
        made = np.zeros((self.outputs, self.count + 1))
        made[self._places, self._left] = 1.0
        return made

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Transform, tuple[int, ...]]:
        lost = tuple(after for after, before in zip(self._places, self._left, strict=True) if before in gone)
        dropped = _counted([axis for axis in self.dropped if axis not in gone], gone)
        created = _counted(self.created, lost)
        left = ProjectAxis(self.count - len(gone), dropped, created) if dropped or created else Identity()
        return left, lost


@dataclass(frozen=True)
class Affine(Transform):
    """Multiplies by a matrix of shape (outputs, inputs + 1), whose last column is added.

    >>> Affine([[0, 2, 1], [1, 0, 0]])([10, 20])
    array([41., 10.])
    """

    values: Points

    def __post_init__(self) -> None:
        _hold(self, self.values)
        if self.values.shape[1] < 2:
            raise TransformError(f"an affine of shape {self.values.shape} has no axes; give a row for each output")

    @property
    @override
    def inputs(self) -> int:
        return int(self.values.shape[1]) - 1

    @property
    @override
    def outputs(self) -> int:
        return int(self.values.shape[0])

    @override
    def _map(self, points: Points) -> Points:
        return points @ self.values[:, :-1].T + self.values[:, -1]

    @override
    def inverse(self) -> Affine:
        linear = self.values[:, :-1]
        if linear.shape[0] != linear.shape[1] or rank(linear) < len(linear):
            raise TransformError(
                f"an affine from {self.inputs} to {self.outputs} axes, of rank {rank(linear)}, cannot be undone; ask "
                "for points of the system that it leads to"
            )
        back = np.linalg.inv(linear)
        return Affine(np.column_stack([back, -back @ self.values[:, -1]]))

    @override
    def matrix(self, ndim: int) -> Points:
        return self.values

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Affine, tuple[int, ...]] | None:
        lost = _lost_rows(self.values[:, :-1], gone)
        return None if lost is None else (Affine(_cut(self.values, lost, gone)), lost)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Affine) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((type(self), self.values.tobytes()))


@dataclass(frozen=True)
class Rotation(Transform):
    """Multiplies by a square matrix that changes no distances.

    >>> Rotation([[0, -1], [1, 0]])([10, 20])
    array([-20.,  10.])
    """

    values: Points

    def __post_init__(self) -> None:
        _hold(self, self.values)
        rows, columns = self.values.shape
        if rows != columns or np.abs(self.values @ self.values.T - np.eye(rows)).max() > ORTHONORMAL_WITHIN:
            raise TransformError(
                f"the rotation {self.values.tolist()} changes distances; give a matrix whose rows are of length 1 and "
                "at right angles, or an affine"
            )

    @property
    @override
    def inputs(self) -> int:
        return int(self.values.shape[0])

    @property
    def mirrors(self) -> bool:
        """Whether it turns right into left, which OME-Zarr allows affines alone."""
        return bool(np.linalg.det(self.values) < 0)

    @override
    def _map(self, points: Points) -> Points:
        return points @ self.values.T

    @override
    def inverse(self) -> Rotation:
        # not the transpose: numbers of three digits would come back changed
        return Rotation(np.linalg.inv(self.values))

    @override
    def matrix(self, ndim: int) -> Points:
        return np.column_stack([self.values, np.zeros(len(self.values))])

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Rotation, tuple[int, ...]] | None:
        lost = _lost_rows(self.values, gone)
        return None if lost is None else (Rotation(_cut(self.values, lost, gone)), lost)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rotation) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((type(self), self.values.tobytes()))


def _hold(transform: Affine | Rotation, values: Any) -> None:
    """Keep a matrix of finite numbers that nobody changes any more."""
    name, cure = type(transform).__name__.lower(), "give its rows, of as many numbers each"
    try:
        given = np.asarray(values)
        # text and complex numbers would be made real ones in silence
        made = given.astype(np.float64, casting="unsafe" if given.dtype == object else "same_kind")
    except (TypeError, ValueError):
        told = " ".join(repr(values).split())
        raise TransformError(f"the {name} {told} is none of real numbers; {cure}") from None
    if made.ndim != 2 or not made.size or not np.isfinite(made).all():
        raise TransformError(f"the {name} {given.tolist()} is no matrix of finite numbers; {cure}")
    made.flags.writeable = False
    object.__setattr__(transform, "values", made)


def rank(linear: Points) -> int:
    """Return the rank of a matrix, in whatever units its rows and columns are, be they nanometers and years.

    >>> rank(np.array([[1e-12, 0.0], [0.0, 1e12]])), rank(np.array([[1.0, 2.0], [2.0, 4.0]]))
    (2, 1)
    """
    for axis in (1, 0):
        largest = np.abs(linear).max(axis=axis, keepdims=True, initial=0.0)
        linear = linear / np.where(largest > 0, largest, 1.0)
    return int(np.linalg.matrix_rank(linear))


def _lost_rows(linear: Points, gone: Collection[int]) -> tuple[int, ...] | None:
    """Return the rows that come from columns that are gone; None if one comes from others too, or all do."""
    lost = np.flatnonzero(linear[:, list(gone)].any(axis=1))
    left = np.delete(linear, list(gone), axis=1)
    return None if left[lost].any() or len(lost) == len(linear) else tuple(lost.tolist())


def _cut(values: Points, rows: Sequence[int], columns: Collection[int]) -> Points:
    return np.delete(np.delete(values, list(rows), axis=0), list(columns), axis=1)


def _left[T](values: Sequence[T], gone: Collection[int]) -> tuple[T, ...]:
    """Return the values of axes that are left."""
    return tuple(value for axis, value in enumerate(values) if axis not in gone)


def _counted(axes: Iterable[int], gone: Collection[int]) -> tuple[int, ...]:
    """Return the numbers of axes, counted without those that are gone.

    >>> _counted([3, 0, 2], {1})
    (2, 0, 1)
    """
    return tuple(axis - sum(other < axis for other in gone) for axis in axes)


@dataclass(frozen=True, slots=True)
class Chain(Transform):
    """Maps by one transformation after the other."""

    steps: tuple[Transform, ...]

    def __post_init__(self) -> None:
        known: int | None = None
        for number, step in enumerate(self.steps):
            if known is not None and step.inputs not in (None, known):
                raise TransformError(
                    f"step {number} of the sequence maps points of {step.inputs} coordinates, and those before give "
                    f"{known}; give it {known} axes"
                )
            known = step.outputs if known is None else step.leads_to(known)

    @property
    @override
    def inputs(self) -> int | None:
        return next((step.inputs for step in self.steps if step.inputs is not None), None)

    @property
    @override
    def outputs(self) -> int | None:
        return next((step.outputs for step in reversed(self.steps) if step.outputs is not None), None)

    @override
    def _map(self, points: Points) -> Points:
        return reduce(lambda found, step: step(found), self.steps, points.copy())

    @override
    def inverse(self) -> Chain:
        return Chain(tuple(step.inverse() for step in reversed(self.steps)))

    @override
    def matrix(self, ndim: int) -> Points | None:
        found: Points = np.eye(ndim, ndim + 1)
        for step in self.steps:
            matrix = step.matrix(len(found))
            if matrix is None:
                return None
            moved = matrix[:, :-1] @ found
            moved[:, -1] += matrix[:, -1]
            found = moved
        return found

    @override
    def leads_to(self, ndim: int) -> int | None:
        found: int | None = ndim
        for step in self.steps:
            found = step.outputs if found is None else step.leads_to(found)
        return found

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Chain, tuple[int, ...]] | None:
        steps: list[Transform] = []
        lost, count = tuple(sorted(gone)), ndim
        for step in self.steps:
            made, after = step.without(lost, count), step.leads_to(count)
            if made is None or after is None:
                return None
            (left, lost), count = made, after
            steps.append(left)
        return Chain(tuple(steps)), lost


@dataclass(frozen=True, slots=True)
class Part:
    """A transformation of some of the axes: from which, and to which."""

    transform: Transform
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ByDimension(Transform):
    """Maps some coordinates by one transformation, others by another.

    Each coordinate afterwards is made by one of them; a coordinate before may be used by several, or by none.

    >>> parts = (Part(Scale((10.0,)), (1,), (0,)), Part(Identity(), (0,), (1,)))
    >>> ByDimension(2, parts)([1, 2])
    array([20.,  1.])

    Parameters
    ----------
    count
        Coordinates of a point before.
    parts
        The transformations.
    """

    count: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        made = [axis for part in self.parts for axis in part.outputs]
        if sorted(made) != list(range(len(made))):
            raise TransformError(
                f"byDimension makes the axes {made}; let its transformations make each of "
                f"{list(range(len(set(made)) or 1))} once"
            )
        for number, part in enumerate(self.parts):
            if any(not 0 <= axis < self.count for axis in part.inputs):
                raise TransformError(
                    f"transformation {number} of byDimension is of the axes {list(part.inputs)}, and there are "
                    f"{self.count}; count from 0"
                )
            inputs, outputs = part.transform.inputs, part.transform.outputs
            expected = len(part.inputs) if outputs is None else outputs
            if inputs not in (None, len(part.inputs)) or expected != len(part.outputs):
                raise TransformError(
                    f"transformation {number} of byDimension leads from {len(part.inputs)} axes to "
                    f"{len(part.outputs)}, and {type(part.transform).__name__} from {inputs} to {expected}; "
                    "give as many axes as it has"
                )

    @property
    @override
    def inputs(self) -> int:
        return self.count

    @property
    @override
    def outputs(self) -> int:
        return sum(len(part.outputs) for part in self.parts)

    @override
    def _map(self, points: Points) -> Points:
        made = np.empty((*points.shape[:-1], self.outputs))
        for part in self.parts:
            made[..., list(part.outputs)] = part.transform(points[..., list(part.inputs)])
        return made

    @override
    def inverse(self) -> ByDimension:
        used = [axis for part in self.parts for axis in part.inputs]
        if sorted(used) != list(range(self.count)):
            raise TransformError(
                f"byDimension uses the axes {used} of {self.count}, so that it cannot be undone; let it use each once"
            )
        parts = tuple(Part(part.transform.inverse(), part.outputs, part.inputs) for part in self.parts)
        return ByDimension(self.outputs, parts)

    @override
    def matrix(self, ndim: int) -> Points | None:
        made = np.zeros((self.outputs, self.count + 1))
        for part in self.parts:
            matrix = part.transform.matrix(len(part.inputs))
            if matrix is None:
                return None
            made[np.ix_(part.outputs, [*part.inputs, self.count])] = matrix
        return made

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[ByDimension, tuple[int, ...]] | None:
        left: list[Part] = []
        for part in self.parts:
            own = [place for place, axis in enumerate(part.inputs) if axis in gone]
            if own and len(own) == len(part.inputs):
                continue
            made = part.transform.without(own, len(part.inputs))
            if made is None:
                return None
            transform, lost = made
            left.append(Part(transform, _counted(_left(part.inputs, own), gone), _left(part.outputs, lost)))
        kept = {axis for part in left for axis in part.outputs}
        missing = tuple(axis for axis in range(self.outputs) if axis not in kept)
        counted = tuple(replace(part, outputs=_counted(part.outputs, missing)) for part in left)
        return ByDimension(self.count - len(gone), counted), missing


@dataclass(frozen=True, slots=True)
class Bijection(Transform):
    """Maps by one transformation, and back by another: what undoes the first may be too hard to find."""

    forward: Transform
    backward: Transform

    def __post_init__(self) -> None:
        there, back = self.forward, self.backward
        for what, one, other in (("input", there.inputs, back.outputs), ("output", there.outputs, back.inputs)):
            if None not in (one, other) and one != other:
                raise TransformError(
                    f"the {what} of a bijection has {one} axes forward and {other} backward; give both as many"
                )

    @property
    @override
    def inputs(self) -> int | None:
        return self.forward.inputs if self.forward.inputs is not None else self.backward.outputs

    @property
    @override
    def outputs(self) -> int | None:
        return self.forward.outputs if self.forward.outputs is not None else self.backward.inputs

    @override
    def _map(self, points: Points) -> Points:
        return self.forward(points)

    @override
    def inverse(self) -> Bijection:
        return Bijection(self.backward, self.forward)

    @override
    def matrix(self, ndim: int) -> Points | None:
        return self.forward.matrix(ndim)

    @override
    def leads_to(self, ndim: int) -> int | None:
        there = self.forward.leads_to(ndim)
        return self.backward.inputs if there is None else there

    @override
    def _without(self, gone: frozenset[int], ndim: int) -> tuple[Bijection, tuple[int, ...]] | None:
        there, after = self.forward.without(gone, ndim), self.leads_to(ndim)
        if there is None or after is None:
            return None
        back = self.backward.without(there[1], after)
        if back is None or back[1] != tuple(sorted(gone)):
            return None
        return Bijection(there[0], back[0]), there[1]


class Samples(Protocol):
    """An array that is read box by box, such as one of NumPy or Zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""

    def __getitem__(self, box: Any, /) -> Any:
        """Read a box of it."""


@dataclass(frozen=True, eq=False)
class Field(Transform):
    """Looks up where a point goes in a field of samples; beyond these the nearest counts.

    Parameters
    ----------
    samples
        Shape (n, …), n coordinates of each sample. What is read are boxes around points that lie near each other, or
        all for cubic splines, which depend on it.
    to_samples
        Maps points to the indices of samples.
    relative
        Whether samples are displacements, which are added to a point, rather than where it goes.
    interpolation
        ``"nearest"``, ``"linear"`` or ``"bspline-cubic"``.
    """

    samples: Samples
    to_samples: Transform = field(default_factory=Identity)
    relative: bool = False
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        if self.interpolation not in ORDERS:
            raise TransformError(
                f"the interpolation {self.interpolation!r} is none of {', '.join(map(repr, ORDERS))}; give one of these"
            )
        if len(self.samples.shape) < 2:
            raise TransformError(
                f"a field of shape {self.samples.shape} has no samples along an axis; give an array of a dimension for "
                "each axis, after one for the coordinates of each sample"
            )
        if self.relative and self.inputs != self.outputs:
            raise TransformError(
                f"displacements of {self.outputs} coordinates cannot be added to points of {self.inputs}; give as many"
            )

    @property
    @override
    def inputs(self) -> int:
        return len(self.samples.shape) - 1

    @property
    @override
    def outputs(self) -> int:
        return int(self.samples.shape[0])

    @override
    def _map(self, points: Points) -> Points:
        if not points.size:
            return np.empty((*points.shape[:-1], self.outputs))
        last = np.array(self.samples.shape[1:]) - 1.0
        places = self.to_samples(points)
        nowhere = np.isnan(places).any(axis=-1, keepdims=True)
        flat = np.clip(np.where(nowhere, 0.0, places), 0.0, last).reshape(-1, len(last))
        found = self._whole(flat) if ORDERS[self.interpolation] > 1 else self._near(flat)
        made = np.where(nowhere, np.nan, found.reshape(*points.shape[:-1], self.outputs))
        return points + made if self.relative else made

    def _whole(self, places: Points) -> Points:
        """Look up places by all samples."""
        everything = (slice(None),) * len(self.samples.shape)
        return self._interpolated(np.asarray(self.samples[everything], np.float64), places)

    def _near(self, places: Points) -> Points:
        """Look up places by the samples around them: a box, or one for each half where it would be large."""
        # no more than two samples lie around a point along an axis
        low, high = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0))
        along = int((high - low).argmax())
        below = places[:, along] < (low + high)[along] / 2
        if (high - low + 1).prod() * self.outputs > AT_ONCE and below.any() and not below.all():
            made = np.empty((len(places), self.outputs))
            made[below], made[~below] = self._near(places[below]), self._near(places[~below])
            return made
        box = tuple(slice(int(first), int(end) + 1) for first, end in zip(low, high, strict=True))
        return self._interpolated(np.asarray(self.samples[(slice(None), *box)], np.float64), places - low)

    def _interpolated(self, samples: Points, places: Points) -> Points:
        from scipy.ndimage import map_coordinates

        order = ORDERS[self.interpolation]
        return np.stack([map_coordinates(one, places.T, order=order, mode="nearest") for one in samples], axis=-1)

    @override
    def inverse(self) -> Transform:
        raise TransformError(
            "nothing is known that undoes a field of samples; give a bijection, which has one for the way back"
        )

    @override
    def matrix(self, ndim: int) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Stored(Transform):
    """Maps points by what lies in an array of a store.

    Parameters
    ----------
    kind
        Type by which OME-Zarr calls it, such as ``"affine"`` or ``"displacements"``.
    path
        Of the array.
    extra
        What else the store says of it.
    read
        Opens the array when it is first needed, and makes a transformation of it; None where no store is known.
    """

    kind: str
    path: str
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    read: Callable[[], Transform] | None = field(default=None, repr=False, compare=False)

    @property
    @override
    def inputs(self) -> None:
        return None

    @override
    def _map(self, points: Points) -> Points:
        return self._known()(points)

    @override
    def leads_to(self, ndim: int) -> int | None:
        return ndim if self.kind in ("displacements", "rotation") else None

    @override
    def inverse(self) -> Transform:
        return self._known().inverse()

    @override
    def matrix(self, ndim: int) -> Points | None:
        return None if self.read is None else self.read().matrix(ndim)

    def _known(self) -> Transform:
        if self.read is None:
            raise TransformError(
                f"the numbers of the {self.kind} lie in an array at {self.path!r}, which is not read; read it, and "
                "make a transformation of it: xomezarr.transforms.Affine(numbers)"
            )
        return self.read()


AT_ONCE = 2**20
"""Numbers of a field that are looked up together, 8 MiB in float64; more, where points lie between two samples."""

ORDERS: Mapping[str, int] = {"nearest": 0, "linear": 1, "bspline-cubic": 3, "cubic": 3}
"""Interpolations of fields, and the order of their splines; the last is what versions under way called another."""


def chain(steps: Iterable[Transform]) -> Transform:
    """Return one transformation that maps as all of them do, one after the other; none leaves points where they are."""
    flat: list[Transform] = []
    for step in steps:
        flat += step.steps if isinstance(step, Chain) else () if isinstance(step, Identity) else (step,)
    if not flat:
        return Identity()
    return flat[0] if len(flat) == 1 else Chain(tuple(flat))


def stored(transform: Transform) -> tuple[Stored, ...]:
    """Return what of a transformation lies in arrays of a store."""
    found: list[Stored] = []

    def noted(one: Stored, *_: Any) -> Stored:
        found.append(one)
        return one

    with_stored(transform, noted)
    return tuple(found)


type Ends[T] = tuple[T | None, ...] | None
"""One for each coordinate of a point, None where nothing is known of it; None where not even their number is known."""


def with_stored[T](
    transform: Transform,
    change: Callable[[Stored, Ends[T], Ends[T]], Transform],
    before: Ends[T] = None,
    after: Ends[T] = None,
) -> Transform:
    """Return a transformation in which that which lies in arrays of a store is another.

    Parameters
    ----------
    transform
        It is walked in its order.
    change
        Called with what lies in an array, and what is known of the coordinates that it leads from and to.
    before, after
        What is known of those that all of it leads from and to, such as their axes.
    """
    match transform:
        case Stored():
            return change(transform, before, after)
        case Chain(steps):
            made: list[Transform] = []
            for number, step in enumerate(steps, 1):
                then = after if number == len(steps) else _unknown(_count_after(step, before, steps[number]))
                made.append(with_stored(step, change, before, then))
                before = then
            return Chain(tuple(made))
        case ByDimension(count, parts):
            return ByDimension(
                count,
                tuple(
                    replace(
                        part,
                        transform=with_stored(
                            part.transform, change, _some(before, part.inputs), _some(after, part.outputs)
                        ),
                    )
                    for part in parts
                ),
            )
        case Bijection(forward, backward):
            return Bijection(with_stored(forward, change, before, after), with_stored(backward, change, after, before))
    return transform


def _count_after(step: Transform, before: Ends[Any], later: Transform) -> int | None:
    """Return how many coordinates there are after a step of a chain; None where only arrays tell that."""
    count = step.outputs if before is None else step.leads_to(len(before))
    return later.inputs if count is None else count


def _unknown(count: int | None) -> Ends[Any]:
    return None if count is None else (None,) * count


def _some[T](ends: Ends[T], places: Sequence[int]) -> Ends[T]:
    """Return what is known of some coordinates; of others than there are, as faulty metadata name them, nothing is."""
    return tuple(ends[place] if ends is not None and place < len(ends) else None for place in places)
