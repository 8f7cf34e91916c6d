"""One error type per cause; every message ends with the call that fixes it."""

from __future__ import annotations

import errno
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

__all__ = [
    "FULL",
    "TOLD",
    "UNREADABLE",
    "UNREADABLE_ARRAY",
    "UNREADABLE_MEMBER",
    "ArchiveError",
    "AttributeEncodingError",
    "AxisError",
    "ChannelError",
    "ChunkError",
    "CodecError",
    "CollectionError",
    "CollectionWarning",
    "ColorError",
    "CoordinateError",
    "CoordinateNaNError",
    "CoordinateSystemError",
    "DamagedChunkError",
    "DescendingCoordinateError",
    "DtypeError",
    "DuplicateCoordinateError",
    "EmptyDimensionError",
    "FactorError",
    "FactorWarning",
    "IncompleteStoreError",
    "InterchangeError",
    "InterchangeWarning",
    "IrregularCoordinateError",
    "LabelError",
    "LabelWarning",
    "LayoutError",
    "LevelError",
    "MetadataChangedWarning",
    "MetadataError",
    "MethodError",
    "MissingDependencyError",
    "MultipleErrors",
    "NotOmeZarrError",
    "OmeZarrError",
    "OmeZarrWarning",
    "OtherImagesWarning",
    "PatternError",
    "PixelSizeWarning",
    "PlacementWarning",
    "PlateError",
    "PlateWarning",
    "RegionError",
    "ResourceError",
    "ResumeError",
    "StoreAccessError",
    "StoreExistsError",
    "StoreNotFoundError",
    "TransformError",
    "UnfinishedWarning",
    "UnitError",
    "UnitWarning",
    "VersionError",
    "alike_of_each",
    "collecting",
    "first_of_each",
    "raise_all",
    "told",
    "told_where_full",
    "warn",
]


class OmeZarrError(ValueError):
    """Base of every error that xomezarr raises itself.

    Attributes
    ----------
    by_command
        The message with what mends it on the command line, where that is no option by the name of an argument; None
        where it is, or where only Python mends it.
    """

    by_command: str | None = None

    @classmethod
    def mended(cls, cause: str, *, python: str, command: str) -> Self:
        """Make an error that is mended otherwise on the command line than in Python.

        >>> error = LabelError.mended("no dimensions are named", python="dims='yx'", command="convert it: xomezarr …")
        >>> str(error), error.by_command
        ("no dimensions are named; dims='yx'", 'no dimensions are named; convert it: xomezarr …')
        """
        error = cls(f"{cause}; {python}")
        error.by_command = f"{cause}; {command}"
        return error


class AxisError(OmeZarrError):
    """The dimensions do not make axes that OME-Zarr allows."""


class CoordinateError(OmeZarrError):
    """A coordinate cannot be written."""


class IrregularCoordinateError(CoordinateError):
    """The samples of a dimension coordinate are not evenly spaced."""


class DescendingCoordinateError(CoordinateError):
    """A dimension coordinate runs backwards."""


class DuplicateCoordinateError(CoordinateError):
    """A dimension coordinate holds a value twice."""


class CoordinateNaNError(CoordinateError):
    """A dimension coordinate holds NaN, NaT or infinity."""


class EmptyDimensionError(CoordinateError):
    """A dimension has no samples."""


class TransformError(OmeZarrError):
    """A coordinate transformation that maps no such points, or that cannot be undone."""


class CoordinateSystemError(OmeZarrError):
    """A coordinate system is not there, or an image cannot be seen in it."""


class UnitError(OmeZarrError):
    """A unit is unknown, or does not measure what is asked."""


class DtypeError(OmeZarrError):
    """The array's dtype cannot be written, or not with this method."""


class MethodError(OmeZarrError):
    """There is no downsampling method of that name."""


class FactorError(OmeZarrError):
    """Downsampling factors or a number of levels that cannot be."""


class ChunkError(OmeZarrError):
    """Chunks that do not fit the array."""


class ResourceError(OmeZarrError):
    """The write would take more than it may."""


class DamagedChunkError(OmeZarrError):
    """A stored chunk, or shard, cannot be decoded, or is not what its array says that it is."""


class ChannelError(OmeZarrError):
    """Channel metadata does not fit the channel dimension."""


class ColorError(OmeZarrError):
    """A colour that nobody knows, or that cannot be written."""


class CodecError(OmeZarrError):
    """Compressors that the format does not have."""


class InterchangeError(OmeZarrError):
    """What another library holds, or is to hold, cannot be said in the terms of both."""


class CollectionError(OmeZarrError):
    """Images that cannot be written or read together as a collection."""


class LabelError(OmeZarrError):
    """Labels that do not fit their image, or cannot be named, coloured or described so."""


class PlateError(OmeZarrError):
    """A plate that cannot be written so, or of which an image is not as the others are."""


class LayoutError(OmeZarrError):
    """The layout of a store is not known, or has no place for something."""


class LevelError(OmeZarrError):
    """There is no resolution level that answers the request."""


class AttributeEncodingError(OmeZarrError, TypeError):
    """An attribute, name or coordinate value cannot be kept in JSON."""


class VersionError(OmeZarrError):
    """A version of OME-Zarr that xomezarr does not know."""


class MetadataError(OmeZarrError):
    """The OME metadata break the specification so that nothing can be read or written by them."""


class NotOmeZarrError(OmeZarrError):
    """The store holds no OME-Zarr image."""


class ArchiveError(NotOmeZarrError):
    """A zip file that is damaged or holds no OME-Zarr, or what cannot be done to a single file."""


class PatternError(OmeZarrError):
    """A naming pattern that cannot be used, or that no file has."""


class IncompleteStoreError(OmeZarrError):
    """The writing of the store was begun, and has not ended."""


class ResumeError(OmeZarrError):
    """An unfinished write that is not the one to go on with, or that still goes on."""


class RegionError(OmeZarrError):
    """A part of a stored image cannot be written so."""


class StoreExistsError(FileExistsError, OmeZarrError):
    """Something is at that path already."""


class StoreNotFoundError(FileNotFoundError, OmeZarrError):
    """Nothing is at that path."""


class StoreAccessError(OSError):
    """A server cannot be reached, does not do what it is asked for, or refuses to; of the system, as a full disk is.

    Parameters
    ----------
    message
        What could not be done, and where.
    refused
        Whether the server does not let the user in.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class MissingDependencyError(OmeZarrError, ImportError):
    """An optional package is not installed."""


class MultipleErrors(ExceptionGroup[OmeZarrError], OmeZarrError):  # noqa: N818 - the plural says it
    """Several independent faults; each stands in the message, and ``except*`` finds each by its type."""

    def __str__(self) -> str:
        return self.message  # without the count of sub-exceptions that a group adds

    def derive(self, excs: Sequence[OmeZarrError], /) -> Self:  # type: ignore[override]
        """Make a group of the same kind, as ``except*`` does."""
        return type(self)(self.message, excs)


UNREADABLE = (OSError, ValueError, TypeError, AttributeError, RecursionError)
"""What is raised where metadata are not what they should be; errors of ours are ValueErrors."""

UNREADABLE_MEMBER = (*UNREADABLE, KeyError)
"""What is raised where a group or an array below another is not what it should be, or is not there."""

UNREADABLE_ARRAY = (
    ValueError,
    TypeError,
    NotImplementedError,
    RecursionError,
    OverflowError,
    AttributeError,
    AssertionError,
)
"""What zarr raises where the metadata of an array are not what they should be; the last two up to 3.1.

Without OSError, on purpose: what the system says, such as that a file may not be read, is no fault of the metadata.
"""


TOLD = 5
"""How many images, or names, a message tells; it counts the others."""


class OmeZarrWarning(UserWarning):
    """Base of every warning that xomezarr gives itself."""


class OtherImagesWarning(OmeZarrWarning):
    """There are more images than the one that is opened."""


class PixelSizeWarning(OmeZarrWarning):
    """A dimension's spacing is not known, and 1.0 is written."""


class PlacementWarning(OmeZarrWarning):
    """It is not known for sure where the pixels of coarser levels lie."""


class UnitWarning(OmeZarrWarning):
    """A unit is written that OME-Zarr does not recommend."""


class FactorWarning(OmeZarrWarning):
    """A list of factors reads as if it were meant cumulatively."""


class LabelWarning(OmeZarrWarning):
    """Labels are not all that they should be: off their image's pixels, without colours, or left out."""


class CollectionWarning(OmeZarrWarning):
    """A collection is not all that it should be: images are left out, or its OME-XML is."""


class PlateWarning(OmeZarrWarning):
    """A plate is not all that it should be: wells or images are left out."""


class InterchangeWarning(OmeZarrWarning):
    """Something of an image has no place in what it is given as to, or taken from, another library."""


class UnfinishedWarning(OmeZarrWarning):
    """A part of an image was being written when its writer was stopped."""


class MetadataChangedWarning(OmeZarrWarning):
    """Another tool has changed the OME metadata since xomezarr wrote them, or says otherwise beside them."""


class collecting:  # noqa: N801 - a context manager, called like a function
    """Add what a block raises to `faults`, so that independent checks are reported together.

    >>> faults = []
    >>> with collecting(faults):
    ...     raise UnitError("a unit is at fault")
    >>> faults
    [UnitError('a unit is at fault')]
    """

    def __init__(self, faults: list[OmeZarrError]) -> None:
        self.faults = faults

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        """Take the block's error, if it is one of ours; let all others pass."""
        if isinstance(error, MultipleErrors):
            self.faults.extend(fault for fault in error.exceptions if isinstance(fault, OmeZarrError))
        elif isinstance(error, OmeZarrError):
            self.faults.append(error)
        return isinstance(error, OmeZarrError)


def raise_all(errors: Iterable[OmeZarrError], doing: str) -> None:
    """Raise what has been collected: nothing, the one error, or all of them together.

    Parameters
    ----------
    errors
        The faults found.
    doing
        What could not be done, for the first line of the message, such as ``"the array cannot be written"``.
    """
    # one fault may be met in several places
    found = list({str(error): error for error in errors}.values())
    if not found:
        return
    if len(found) == 1:
        raise found[0]
    listed = "\n".join(f"  {number}. {error}" for number, error in enumerate(found, 1))
    message = f"{doing}, for {len(found)} reasons:\n{listed}"
    if any(isinstance(error, StoreExistsError) for error in found):
        raise StoreExistsError(message)  # which ``except FileExistsError`` is to find; no group can be both
    raise MultipleErrors(message, found)


def first_of_each(faults: Iterable[OmeZarrError]) -> Iterator[OmeZarrError]:
    """Yield the first faults of each type, and how many more there are: what is wrong is often so with all images.

    >>> [str(fault) for fault in first_of_each([UnitError(str(number)) for number in range(7)])][-2:]
    ['4', '2 more faults such as these, of other images; mend them alike']
    """
    counted: Counter[type[OmeZarrError]] = Counter()
    for fault in faults:
        counted[type(fault)] += 1
        if counted[type(fault)] <= TOLD:
            yield fault
    if more := sum(max(0, count - TOLD) for count in counted.values()):
        others = "1 more fault" if more == 1 else f"{more} more faults"
        yield OmeZarrError(f"{others} such as these, of other images; mend them alike")


def alike_of_each(faults: Iterable[tuple[str, OmeZarrError]], what: str = "image") -> Iterator[OmeZarrError]:
    """Yield what is wrong with several images: where it first is, and with how many others the same is wrong.

    Parameters
    ----------
    faults
        What an image is called, and what is wrong with it.
    what
        What all of them are.

    >>> [str(fault) for fault in alike_of_each((f"image {number}", UnitError("no unit")) for number in range(3))]
    ['image 0 (and 2 other images): no unit']
    """
    found: dict[tuple[type[OmeZarrError], str], list[str]] = {}
    for called, fault in faults:
        found.setdefault((type(fault), str(fault)), []).append(called)
    for (kind, text), (first, *more) in found.items():
        others = f" (and {len(more)} other {what}{'s' if more[1:] else ''})" if more else ""
        yield kind(f"{first}{others}: {text}")


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What systems say where a disk, or what a user may have of it, is full."""


@contextmanager
def told_where_full(place: object, what: str) -> Iterator[None]:
    """Say what a full disk leaves of what was to be written at a place, and what is to be done."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(error.errno, f"{error.strerror}: {what}", str(place)) from error


def told(names: Sequence[str], most: int = TOLD, *, between: str = ", ") -> str:
    """Return the first of several names for a message, which counts the others.

    >>> told(["a", "b"]), told(["a", "b", "c"], 1)
    ('a, b', 'a and 2 more')
    """
    more = len(names) - most
    return between.join(names[:most]) + (f" and {more} more" if more > 0 else "")


def warn(message: str, category: type[OmeZarrWarning]) -> None:
    """Warn at the line of the user's own code that called into xomezarr."""
    warnings.warn(message, category, skip_file_prefixes=(str(Path(__file__).parent),))
