"""What OME-Zarr demands of images of labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence

from xomezarr.model import LabelImage
from xomezarr.report import Finding, Severity

__all__ = ["LABEL_RULES", "distinct_colors", "distinct_rows", "repeated_colors"]


def colors_given(label: LabelImage, where: str) -> Iterator[Finding]:
    """53 (SHOULD): an image of labels says how each label is shown."""
    if label.colors is None:
        yield Finding("53", "warning", where, "there are no colors", "list one object with a label-value and an rgba")


def distinct_colors(label: LabelImage, where: str) -> Iterator[Finding]:
    """56 (MUST, 0.4): the label-values of the colors are unique."""
    for first, index in _repeated([color.value for color in label.colors or ()]):
        assert label.colors is not None
        yield _color_twice(label, first, index, where, "error")


def repeated_colors(label: LabelImage, where: str) -> Iterator[Finding]:
    """56 (the schema of 0.5): no color is there twice. Of several for one label, readers SHOULD take the last."""
    for first, index in _repeated([color.value for color in label.colors or ()]):
        assert label.colors is not None
        same = label.colors[first] == label.colors[index]
        yield _color_twice(label, first, index, where, "error" if same else "warning")


def _color_twice(label: LabelImage, first: int, index: int, where: str, severity: Severity) -> Finding:
    assert label.colors is not None
    return Finding(
        "56",
        severity,
        f"{where}.colors[{index}].label-value",
        f"label {label.colors[index].value} has a color already, colors[{first}]",
        "give each label one color",
    )


def distinct_rows(label: LabelImage, where: str) -> Iterator[Finding]:
    """57 (the official schemas): no entry of the properties is there twice."""
    rows = label.rows or ()
    for first, index in _repeated([row.value for row in rows]):
        if rows[first] == rows[index]:
            yield Finding(
                "57",
                "error",
                f"{where}.properties[{index}]",
                f"the properties of label {rows[index].value} are there twice, as properties[{first}] too",
                "list them once",
            )


def _repeated(values: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Yield where a value was first, and where it is again.

    >>> list(_repeated("abca"))
    [(0, 3)]
    """
    if len(set(values)) == len(values):  # as nearly always, and there may be many
        return
    places: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        if places[value]:
            yield places[value][0], index
        places[value].append(index)


type LabelRule = Callable[[LabelImage, str], Iterator[Finding]]

LABEL_RULES: tuple[LabelRule, ...] = (colors_given, distinct_rows)
"""Those of every version from 0.4 on; of `distinct_colors` and `repeated_colors` each version has one."""
