"""Which transformations lead from one coordinate system to another: a graph, and the shortest way through it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from xomezarr.errors import TransformError
from xomezarr.transforms import Identity, Transform, chain, stored

__all__ = ["Edge", "Loop", "Routes"]

SAME_WITHIN = 1e-9
"""Ways to a coordinate system that differ by no more than this fraction are the same, but for rounding."""


@dataclass(frozen=True, slots=True)
class Edge[System: Hashable]:
    """A transformation, and the coordinate systems that it leads from and to."""

    source: System
    target: System
    transform: Transform


@dataclass(frozen=True, slots=True)
class Loop[System: Hashable]:
    """Two ways from one coordinate system to another that lead to different places.

    Parameters
    ----------
    source, target
        The two systems.
    ways
        What leads there.
    edges
        Numbers of all transformations that the two ways consist of, the last of which closes the loop.
    """

    source: System
    target: System
    ways: tuple[Transform, Transform]
    edges: frozenset[int]


@dataclass(frozen=True)
class Routes[System: Hashable]:
    """Coordinate systems, and the transformations between them.

    >>> from xomezarr.transforms import Scale
    >>> routes = Routes({"pixels": 2, "stage": 2}, (Edge("pixels", "stage", Scale((0.5, 0.5))),))
    >>> routes.transform("stage", "pixels")([1, 2])
    array([2., 4.])

    Parameters
    ----------
    systems
        How many axes each has, by its name, or whatever tells it apart.
    edges
        Each may be walked backward too, if it can be undone.
    called
        How messages name a system.
    """

    systems: Mapping[System, int]
    edges: Sequence[Edge[System]]
    called: Callable[[Any], str] = repr

    def transform(self, source: System, target: System) -> Transform:
        """Return what leads from one system to another, by the fewest transformations.

        Raises
        ------
        TransformError
            If one of them is not known, nothing leads there, or another way leads to another place.
        """
        for name in (source, target):
            if name not in self.systems:
                listed = self._listed(self.systems) or "none"
                raise TransformError(f"there is no coordinate system {self.called(name)}; there are {listed}")
        found, refused = self._search(source, target)
        if target in found:
            walked = {number for number, _ in _steps(found, target)}
            for loop in self.loops:
                if walked & loop.edges:
                    raise TransformError(self.told(loop))
            return _composed(found, target)
        why = f" ({'; '.join(refused)})" if refused else ""
        raise TransformError(
            f"nothing leads from the coordinate system {self.called(source)} to {self.called(target)}{why}; "
            f"from there one gets to {self._listed([*found][1:]) or 'no other'}"
        )

    @cached_property
    def loops(self) -> tuple[Loop[System], ...]:
        """Ways that contradict each other, by their matrices; arrays are not read for it, and fields not judged."""
        made: list[Loop[System]] = []
        joined: dict[System, System] = {}
        for number, edge in enumerate(self.edges):
            if edge.source == edge.target:
                continue
            one, other = _root(joined, edge.source), _root(joined, edge.target)
            if one != other:
                joined[one] = other
                continue
            # not all edges can be walked backward: the two ways may meet elsewhere than at its end
            found, _ = self._search(edge.source, edge.target, number)
            beyond: _Found[System] = {edge.target: None}
            if edge.target not in found:
                beyond, _ = self._search(edge.target, None, number)
            for place in (place for place in found if place in beyond):
                ways = _composed(found, place), chain([edge.transform, _composed(beyond, place)])
                if not _same(*ways, self.systems[edge.source]):
                    walked = {step for way in (found, beyond) for step, _ in _steps(way, place)}
                    made.append(Loop(edge.source, place, ways, frozenset({*walked, number})))
                    break
        return tuple(made)

    def told(self, loop: Loop[System]) -> str:
        """Say that two ways contradict each other."""
        return (
            f"two ways lead from the coordinate system {self.called(loop.source)} to {self.called(loop.target)}, and "
            f"to different places: {loop.ways[0]} and {loop.ways[1]}; mend the metadata, so that one of them is left"
        )

    def _search(
        self, source: System, wanted: System | None, before: int | None = None
    ) -> tuple[_Found[System], list[str]]:
        """Return the systems that one gets to, until one is found that is wanted; and why some edges do not lead back.

        Each with the one before it, and the number and the transformation of what leads from there; `before` is the
        number of the first edge that is left out.
        """
        last = len(self.edges) if before is None else before
        found: _Found[System] = {source: None}
        refused: dict[str, None] = {}
        waiting = deque([source])
        while waiting and wanted not in found:
            here = waiting.popleft()
            for number, other, step in self._ways.get(here, ()):
                if other in found or number >= last:
                    continue
                try:
                    found[other] = here, number, step()
                except TransformError as error:
                    refused[str(error)] = None
                    continue
                waiting.append(other)
        return found, [*refused]

    @cached_property
    def _ways(self) -> Mapping[System, Sequence[tuple[int, System, Callable[[], Transform]]]]:
        """By system: the edges there, where they lead, and what makes the transformation; each is undone once."""
        found: dict[System, list[tuple[int, System, Callable[[], Transform]]]] = {}
        for number, edge in enumerate(self.edges):
            found.setdefault(edge.source, []).append((number, edge.target, partial(_itself, edge.transform)))
            found.setdefault(edge.target, []).append((number, edge.source, cache(edge.transform.inverse)))
        return found

    def _listed(self, systems: Iterable[System]) -> str:
        return ", ".join(map(self.called, systems))


type _Found[System] = dict[System, tuple[System, int, Transform] | None]


def _itself(transform: Transform) -> Transform:
    return transform


def _steps[System: Hashable](found: _Found[System], target: System) -> Iterator[tuple[int, Transform]]:
    """Yield the edges that lead to a system from that in which the search began, the last one first."""
    while (last := found[target]) is not None:
        target, number, step = last
        yield number, step


def _composed[System: Hashable](found: _Found[System], target: System) -> Transform:
    """Return what leads to a system from that in which the search began."""
    return chain([Identity(), *reversed([step for _, step in _steps(found, target)])])


def _root[System: Hashable](joined: dict[System, System], system: System) -> System:
    """Return what stands for all systems that are joined with one."""
    while system in joined:
        system = joined[system]
    return system


def _same(one: Transform, other: Transform, ndim: int) -> bool:
    """Whether two ways lead to the same places, but for rounding, as far as that is told by matrices."""
    if one == other or stored(one) or stored(other):
        return True
    first, second = one.matrix(ndim), other.matrix(ndim)
    if first is None or second is None:
        return True
    if first.shape != second.shape:
        return False
    # of each column: what is added may be larger by far than the steps from pixel to pixel
    largest = np.maximum(np.abs(first), np.abs(second)).max(axis=0)
    largest[-1] += largest.max(initial=0.0, where=np.arange(len(largest)) < ndim)
    return bool((np.abs(first - second) <= SAME_WITHIN * largest).all())
