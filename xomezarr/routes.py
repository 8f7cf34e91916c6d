"""Which transformations lead from one coordinate system to another: a graph, and the shortest way through it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

from xomezarr.errors import TransformError
from xomezarr.transforms import Identity, Transform, chain

__all__ = ["Edge", "Routes"]


@dataclass(frozen=True, slots=True)
class Edge[System: Hashable]:
    """A transformation, and the coordinate systems that it leads from and to."""

    source: System
    target: System
    transform: Transform


@dataclass(frozen=True)
class Routes[System: Hashable]:
    """Coordinate systems, and the transformations between them.

    >>> from xomezarr.transforms import Scale
    >>> routes = Routes(("pixels", "stage"), (Edge("pixels", "stage", Scale((0.5, 0.5))),))
    >>> routes.transform("stage", "pixels")([1, 2])
    array([2., 4.])

    Parameters
    ----------
    systems
        By their names, or whatever tells them apart.
    edges
        Each may be walked backward too, if it can be undone.
    called
        How messages name a system.
    """

    systems: Iterable[System]
    edges: Iterable[Edge[System]]
    called: Callable[[Any], str] = repr

    def transform(self, source: System, target: System) -> Transform:
        """Return what leads from one system to another, by the fewest transformations.

        Raises
        ------
        TransformError
            If one of them is not known, or nothing leads there.
        """
        known = tuple(self.systems)
        for name in (source, target):
            if name not in known:
                raise TransformError(
                    f"there is no coordinate system {self.called(name)}; there are {self._listed(known) or 'none'}"
                )
        found, refused = self._search(source, target)
        if target in found:
            return _composed(found, target)
        why = f" ({'; '.join(refused)})" if refused else ""
        raise TransformError(
            f"nothing leads from the coordinate system {self.called(source)} to {self.called(target)}{why}; "
            f"from there one gets to {self._listed([*found][1:]) or 'no other'}"
        )

    def reached(self, source: System) -> Mapping[System, Transform]:
        """Return all systems that one gets to, itself among them, and what leads there; the nearest first."""
        found, _ = self._search(source)
        return {system: _composed(found, system) for system in found}

    def _search(self, source: System, wanted: System | None = None) -> tuple[_Found[System], list[str]]:
        """Return the systems that one gets to, until one is found that is wanted; and why some edges do not lead back.

        Each with the one before it, and what leads from there.
        """
        found: _Found[System] = {source: None}
        refused: dict[str, None] = {}
        waiting = deque([source])
        while waiting and wanted not in found:
            here = waiting.popleft()
            for other, step in self._ways.get(here, ()):
                if other in found:
                    continue
                try:
                    found[other] = here, step()
                except TransformError as error:
                    refused[str(error)] = None
                    continue
                waiting.append(other)
        return found, [*refused]

    @cached_property
    def _ways(self) -> Mapping[System, Sequence[tuple[System, Callable[[], Transform]]]]:
        """The systems next to each, and what makes the transformation that leads there; each is undone once."""
        found: dict[System, list[tuple[System, Callable[[], Transform]]]] = {}
        for edge in self.edges:
            found.setdefault(edge.source, []).append((edge.target, partial(_itself, edge.transform)))
            found.setdefault(edge.target, []).append((edge.source, cache(edge.transform.inverse)))
        return found

    def _listed(self, systems: Iterable[System]) -> str:
        return ", ".join(map(self.called, systems))


type _Found[System] = dict[System, tuple[System, Transform] | None]


def _itself(transform: Transform) -> Transform:
    return transform


def _composed[System: Hashable](found: _Found[System], target: System) -> Transform:
    """Return what leads to a system from that in which the search began."""
    steps: list[Transform] = []
    while (last := found[target]) is not None:
        target, step = last
        steps.append(step)
    return chain([Identity(), *reversed(steps)])
