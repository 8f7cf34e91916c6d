"""Coordinate transformations of OME-Zarr 0.6 as values: they map points, forward and backward, exactly where they can.

A transformation has no names: which coordinate systems it leads from and to is said by who holds it (`Systems`).
Points are arrays whose last axis counts the coordinates, in the order of the axes of the system.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, override

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
    "Scale",
    "Stored",
    "Systems",
    "Transform",
    "Translation",
    "chain",
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
            If they have another number of coordinates.
        """
        given = np.asarray(points, np.float64)
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
        if linear.shape[0] != linear.shape[1] or np.linalg.matrix_rank(linear) < len(linear):
            raise TransformError(
                f"an affine from {self.inputs} to {self.outputs} axes, of rank {np.linalg.matrix_rank(linear)}, cannot "
                "be undone; ask for points of the system that it leads to"
            )
        back = np.linalg.inv(linear)
        return Affine(np.column_stack([back, -back @ self.values[:, -1]]))

    @override
    def matrix(self, ndim: int) -> Points:
        return self.values

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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rotation) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((type(self), self.values.tobytes()))


def _hold(transform: Affine | Rotation, values: Any) -> None:
    """Keep a matrix of finite numbers that nobody changes any more."""
    made = np.array(values, np.float64)
    name = type(transform).__name__.lower()
    if made.ndim != 2 or not made.size or not np.isfinite(made).all():
        raise TransformError(f"the {name} {np.asarray(values).tolist()} is no matrix of finite numbers; give its rows")
    made.flags.writeable = False
    object.__setattr__(transform, "values", made)


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
            known = known if step.outputs is None else step.outputs

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


@dataclass(frozen=True, eq=False)
class Field(Transform):
    """Looks up where a point goes in a field of samples.

    Parameters
    ----------
    read
        Reads the samples when they are first needed: shape (n, …), n coordinates of each sample.
    axes
        Number of coordinates before.
    count
        Number of coordinates afterwards.
    to_samples
        Maps points to the indices of samples.
    relative
        Whether samples are displacements, which are added to a point, rather than where it goes.
    interpolation
        ``"nearest"``, ``"linear"`` or ``"cubic"``.
    """

    read: Callable[[], NDArray[Any]]
    axes: int
    count: int
    to_samples: Transform = field(default_factory=Identity)
    relative: bool = False
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        if self.interpolation not in ORDERS:
            raise TransformError(
                f"the interpolation {self.interpolation!r} is none of {', '.join(map(repr, ORDERS))}; give one of these"
            )
        if self.relative and self.axes != self.count:
            raise TransformError(
                f"displacements of {self.count} coordinates cannot be added to points of {self.axes}; give as many"
            )

    @property
    @override
    def inputs(self) -> int:
        return self.axes

    @property
    @override
    def outputs(self) -> int:
        return self.count

    @override
    def _map(self, points: Points) -> Points:
        from scipy.ndimage import map_coordinates

        samples = np.asarray(self.read(), np.float64)
        if samples.shape[0] != self.count or samples.ndim != self.axes + 1:
            raise TransformError(
                f"the field has shape {samples.shape}, and is to hold {self.count} coordinates for points of "
                f"{self.axes}; give an array of {self.axes + 1} dimensions, the first of size {self.count}"
            )
        places = np.moveaxis(self.to_samples(points), -1, 0)
        order = ORDERS[self.interpolation]
        made = np.stack([map_coordinates(one, places, order=order, mode="nearest") for one in samples], axis=-1)
        return points + made if self.relative else made

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
    """Maps points by what lies in an array of a store, which has not been read.

    Parameters
    ----------
    kind
        Type by which OME-Zarr calls it, such as ``"affine"`` or ``"displacements"``.
    path
        Of the array.
    extra
        What else the store says of it.
    """

    kind: str
    path: str
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    @override
    def inputs(self) -> None:
        return None

    @override
    def _map(self, points: Points) -> Points:
        raise self._unread()

    @override
    def inverse(self) -> Transform:
        raise self._unread()

    @override
    def matrix(self, ndim: int) -> None:
        return None

    def _unread(self) -> TransformError:
        return TransformError(
            f"the numbers of the {self.kind} lie in an array at {self.path!r}, which is not read; read it, and make a "
            "transformation of it: xomezarr.transforms.Affine(numbers)"
        )


ORDERS: Mapping[str, int] = {"nearest": 0, "linear": 1, "cubic": 3}
"""Interpolations of fields, and the order of their splines."""


def chain(steps: Iterable[Transform]) -> Transform:
    """Return one transformation that maps as all of them do, one after the other; none leaves points where they are."""
    flat: list[Transform] = []
    for step in steps:
        flat += step.steps if isinstance(step, Chain) else () if isinstance(step, Identity) else (step,)
    if not flat:
        return Identity()
    return flat[0] if len(flat) == 1 else Chain(tuple(flat))


# -- coordinate systems ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Systems:
    """Coordinate systems, and the transformations that lead from one to another.

    Parameters
    ----------
    names
        Of the systems.
    edges
        By the names of where they lead from and to; each may be walked backward too, if it can be undone.
    """

    names: Sequence[Hashable]
    edges: Mapping[tuple[Hashable, Hashable], Transform]

    def transform(self, source: Hashable, target: Hashable) -> Transform:
        """Return what leads from one system to another, by the fewest transformations.

        Raises
        ------
        TransformError
            If one of them is not known, or nothing leads there.
        """
        for name in (source, target):
            if name not in self.names:
                raise TransformError(
                    f"there is no coordinate system {name!r}; there are {', '.join(map(repr, self.names)) or 'none'}"
                )
        found: dict[Hashable, Transform] = {source: Identity()}
        waiting = deque([source])
        refused: list[str] = []
        while waiting:
            here = waiting.popleft()
            if here == target:
                return found[here]
            for (one, other), transform in self.edges.items():
                if one == here and other not in found:
                    found[other] = chain([found[here], transform])
                    waiting.append(other)
                elif other == here and one not in found:
                    try:
                        found[one] = chain([found[here], transform.inverse()])
                    except TransformError as error:
                        refused.append(str(error))
                        continue
                    waiting.append(one)
        why = f" ({'; '.join(dict.fromkeys(refused))})" if refused else ""
        raise TransformError(
            f"nothing leads from the coordinate system {source!r} to {target!r}{why}; from there one gets to "
            f"{', '.join(map(repr, list(found)[1:])) or 'no other'}"
        )
