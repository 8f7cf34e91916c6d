"""Which transformations lead from one coordinate system to another: a graph, and the shortest way through it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
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
        found, refused = self._search(source)
        if target in found:
            return found[target]
        why = f" ({'; '.join(refused)})" if refused else ""
        raise TransformError(
            f"nothing leads from the coordinate system {self.called(source)} to {self.called(target)}{why}; "
            f"from there one gets to {self._listed([*found][1:]) or 'no other'}"
        )

    def reached(self, source: System) -> Mapping[System, Transform]:
        """Return all systems that one gets to, itself among them, and what leads there; the nearest first."""
        return self._search(source)[0]

    def _search(self, source: System) -> tuple[dict[System, Transform], list[str]]:
        """Return all systems that one gets to, and why some transformations cannot be walked backward."""
        found: dict[System, Transform] = {source: Identity()}
        refused: dict[str, None] = {}
        waiting = deque([source])
        edges = tuple(self.edges)
        while waiting:
            here = waiting.popleft()
            for edge in edges:
                if edge.source == here and edge.target not in found:
                    next_one, step = edge.target, edge.transform
                elif edge.target == here and edge.source not in found:
                    next_one = edge.source
                    try:
                        step = edge.transform.inverse()
                    except TransformError as error:
                        refused[str(error)] = None
                        continue
                else:
                    continue
                found[next_one] = chain([found[here], step])
                waiting.append(next_one)
        return found, [*refused]

    def _listed(self, systems: Iterable[System]) -> str:
        return ", ".join(map(self.called, systems))
