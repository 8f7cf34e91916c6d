"""Patterns by which files of a plate are named, and what they say of a name.

A name that a pattern can be read from in two ways is never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from xomezarr.errors import OmeZarrError, PatternError, collecting, raise_all

__all__ = ["EXAMPLE", "FIELDS", "Pattern", "Reading"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What may stand in the place of a field.

    Parameters
    ----------
    ways
        What matches the longest of each sort that it may be. What it has at least is the group; a longest one may end
        anywhere behind that.
    begins, ends
        Whether it begins, and ends, with a number, which what does not matter beside it takes no digits from.
    """

    ways: tuple[re.Pattern[str], ...]
    begins: bool = False
    ends: bool = False


def _kind(*ways: str, begins: bool = False, ends: bool = False) -> Kind:
    return Kind(tuple(map(re.compile, ways)), begins, ends)


DIGIT = re.compile("[0-9]")

NUMBER = _kind(r"([0-9])[0-9]*", begins=True, ends=True)

FREE = _kind(r"()[^/]*")
"""What does not matter, which may be nothing at all."""

FIELDS: Mapping[str, Kind] = {
    "well": _kind(r"([A-Za-z]+[0-9])[0-9]*", ends=True),
    "row": _kind(r"([A-Za-z])[A-Za-z]*", r"([0-9])[0-9]*"),
    "column": NUMBER,
    "field": _kind(r"([A-Za-z0-9])[A-Za-z0-9]*"),
    "acquisition": NUMBER,
    "channel": _kind(r"([^/])[^/]*"),
    "z": NUMBER,
    "t": NUMBER,
}
"""What may stand in a pattern between braces."""

ANYTHING = ("", "*")
"""What stands between braces for what does not matter."""

EXAMPLE = "{row}{column}_s{field}_{channel}.tif"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a name says of fields.

    Parameters
    ----------
    name
        The name.
    spans
        Where in it each field stands: first and last index.
    """

    name: str
    spans: Mapping[str, tuple[int, int]]

    @property
    def said(self) -> dict[str, str]:
        """What stands for each field."""
        return {field: self.name[start:end] for field, (start, end) in self.spans.items()}

    def spelled(self, field: str) -> str:
        """Return what stands for a field; empty where the pattern does not have it."""
        start, end = self.spans.get(field, (0, 0))
        return self.name[start:end]

    def renamed(self, spelled: Mapping[str, str]) -> str:
        """Return the name in which other text stands for some fields."""
        name = self.name
        for field in sorted(spelled, key=lambda field: self.spans[field], reverse=True):
            start, end = self.spans[field]
            name = name[:start] + spelled[field] + name[end:]
        return name


@dataclass(frozen=True, slots=True)
class Pattern:
    """A naming pattern.

    Parameters
    ----------
    text
        As it was given.
    parts
        Of which it is made up.
    """

    text: str
    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Read a pattern.

        >>> Pattern.of("{row}{column}_s{field}_{channel}.tif").read("B07_s2_DAPI.tif").said
        {'row': 'B', 'column': '07', 'field': '2', 'channel': 'DAPI'}
        >>> Pattern.of("{row:3}{column:3}{field:3}.tif").read("002012001.tif").said
        {'row': '002', 'column': '012', 'field': '001'}

        Raises
        ------
        PatternError
            If it names a field that is not known, no well, or one in two ways.
        """
        faults: list[OmeZarrError] = []
        parts: list[_Part] = []
        for literal, field in re.findall(r"([^{}]*)(\{[^{}]*\}|$)", text):
            if literal:
                parts.append(_Part(literal=literal))
            if field:
                with collecting(faults):
                    parts.append(_Part.of(field, text, parts))
        seen = {part.name for part in parts if part.name}
        if set("{}") & set(re.sub(r"\{[^{}]*\}", "", text)):
            faults.append(PatternError(f"a brace of the pattern {text!r} has no other; close each: {EXAMPLE!r}"))
        if "well" not in seen and not {"row", "column"} <= seen and not faults:
            faults.append(
                PatternError(
                    f"the pattern {text!r} does not say which well a file belongs to; name {{well}}, or {{row}} and "
                    f"{{column}}: {EXAMPLE!r}"
                )
            )
        if "well" in seen and (twice := [f"{{{name}}}" for name in ("row", "column") if name in seen]):
            faults.append(
                PatternError(
                    f"the pattern {text!r} has {{well}}, row and column in one, and {' and '.join(twice)} too, "
                    f"which may say another; keep one of both, and put {{}} in the place of the other: {EXAMPLE!r}"
                )
            )
        raise_all(faults, "the pattern cannot be used")
        return cls(text, tuple(_beside_numbers(parts)))

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it names."""
        return frozenset(part.name for part in self.parts if part.name)

    def read(self, name: str) -> Reading | None:
        """Read a name; None if it is not made so.

        Raises
        ------
        PatternError
            If it can be read in two ways.
        """
        found = list(self._readings(name))
        if len(found) > 1:
            raise self._unclear(*found)
        return found[0] if found else None

    def _readings(self, name: str) -> Iterator[Reading]:
        """Yield the first two readings of a name that differ in what they say; less if there are less."""
        parts, size = self.parts, len(name)
        repeated = {part.name for part in parts if part.again}

        @cache
        def endings(index: int, start: int, known: tuple[tuple[str, str], ...]) -> tuple[tuple[_Span, ...], ...]:
            """Return two ways to read what is left by the parts that are left."""
            if index == len(parts):
                return ((),) if start == size else ()
            part = parts[index]
            found: dict[Hashable, tuple[_Span, ...]] = {}
            for end in part.ends(name, start, known):
                own: tuple[_Span, ...] = ((part.name, start, end),) if part.name and not part.again else ()
                bound = (*known, (part.name, name[start:end])) if own and part.name in repeated else known
                for ending in endings(index + 1, end, bound):
                    whole = own + ending
                    found.setdefault(tuple(name[first:last] for _, first, last in whole), whole)
                    if len(found) == 2:
                        return tuple(found.values())
            return tuple(found.values())

        for ending in endings(0, 0, ()):
            yield Reading(name, {field: (start, end) for field, start, end in ending})

    def _unclear(self, one: Reading, other: Reading) -> PatternError:
        """Say how a name can be read in two ways, and what tells them apart."""
        differ = [field for field, text in one.said.items() if other.said[field] != text]
        told = "; or as ".join(
            ", ".join(f"{field} {reading.spelled(field)!r}" for field in differ) for reading in (one, other)
        )
        open_ones = [part.name for part in self.parts if part.name in differ and part.is_open and part.name != "well"]
        # where all that differ have a width, it is what does not matter that has none
        first = (open_ones or [""])[0]
        cures = [f"how wide {{{first}}} is, such as {{{first}:2}} for two characters"]
        if "well" in differ:
            cures.insert(0, "{row}{column:2} instead of {well}, for columns of two digits")
        return PatternError(
            f"the pattern {self.text!r} reads {one.name!r} in two ways: as {told}; say {' or '.join(cures)}, or put "
            "the text that stands between them into the pattern"
        )


type _Span = tuple[str, int, int]
"""A field, and where it stands."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern.

    Parameters
    ----------
    literal
        The text that it is, if it is no field.
    name
        Of the field; empty for other text, and for what does not matter.
    kind
        Of the field; None for text.
    width
        How many characters it has; None where that is not said.
    again
        Whether it is a field once more, as where a folder and the files in it are named by their well.
    after_number, before_number
        Whether it may not begin, and not end, with a digit, which would be one of the number beside it.
    """

    literal: str = ""
    name: str = ""
    kind: Kind | None = None
    width: int | None = None
    again: bool = False
    after_number: bool = False
    before_number: bool = False

    @classmethod
    def of(cls, field: str, text: str, before: Sequence[_Part]) -> _Part:
        """Read what stands between braces.

        Raises
        ------
        PatternError
            If it is no field, or its width is none.
        """
        name, colon, width = (part.strip() for part in field[1:-1].partition(":"))
        if name not in ANYTHING and name not in FIELDS:
            known = ", ".join(f"{{{one}}}" for one in FIELDS)
            raise PatternError(
                f"the pattern {text!r} has the field {field!r}, which is not known; the fields are {known}, "
                f"and {{}} for what does not matter: {EXAMPLE!r}"
            )
        if colon and not (width.isdecimal() and int(width)):
            raise PatternError(
                f"the pattern {text!r} has the field {field!r}, whose width is no number of characters; "
                f"give one, such as {{{name}:2}}"
            )
        if colon and name == "well":
            raise PatternError(
                f"the pattern {text!r} gives a width to {{well}}, which is row and column in one; "
                f"give it to the column: {{row}}{{column:{width}}}"
            )
        wide = int(width) if colon else None
        if name in ANYTHING:
            return cls(kind=FREE, width=wide)
        again = any(part.name == name for part in before)
        return cls(name=name, kind=FIELDS[name], width=wide, again=again)

    @property
    def is_open(self) -> bool:
        """Whether it is not known how long it is."""
        return self.kind is not None and self.width is None and not self.again

    @property
    def is_free(self) -> bool:
        """Whether it is what does not matter, of any length."""
        return self.kind is FREE and self.is_open

    @property
    def begins_with_number(self) -> bool:
        """Whether it begins with a number that may have more digits."""
        return self.is_open and self.kind is not None and self.kind.begins

    @property
    def ends_with_number(self) -> bool:
        """Whether it ends with a number that may have more digits."""
        return self.is_open and self.kind is not None and self.kind.ends

    def ends(self, name: str, start: int, known: Sequence[tuple[str, str]]) -> Iterator[int]:
        """Yield where it may end in a name if it begins at an index.

        Parameters
        ----------
        name, start
            The name and the index.
        known
            What stands for fields that come once more.
        """
        text = dict(known)[self.name] if self.again else self.literal
        if text or self.kind is None:
            if name.startswith(text, start):
                yield start + len(text)
            return
        for way in self.kind.ways:
            match = way.match(name, start)
            if match is None:
                continue
            least, most = match.end(1), match.end()
            for end in range(least, most + 1) if self.width is None else (start + self.width,):
                if least <= end <= most and not self._cuts_a_number(name[start:end]):
                    yield end

    def _cuts_a_number(self, text: str) -> bool:
        """Whether a text that it would be begins or ends with digits of the number beside it."""
        first, last = text[:1], text[-1:]
        return bool((self.after_number and DIGIT.match(first)) or (self.before_number and DIGIT.match(last)))


def _beside_numbers(parts: Sequence[_Part]) -> Iterator[_Part]:
    """Yield the parts; what does not matter is told of numbers beside it, and is one part where it was two.

    Where it is nothing, what it stood between is side by side, and a digit there may belong to either.
    """
    nothing = _Part()
    merged = [part for before, part in pairwise([nothing, *parts]) if not (before.is_free and part.is_free)]
    for before, part, after in zip([nothing, *merged], merged, [*merged[1:], nothing], strict=False):
        if part.is_free:
            yield replace(part, after_number=before.ends_with_number, before_number=after.begins_with_number)
        else:
            yield part
