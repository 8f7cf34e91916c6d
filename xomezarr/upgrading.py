"""What becomes of a store in another version of OME-Zarr, document by document: worked out, and nothing written."""

from __future__ import annotations

import json
import posixpath
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xomezarr import documents, spec
from xomezarr.checks import leads_below
from xomezarr.documents import (
    CONSOLIDATED,
    alone,
    array_document,
    encoded,
    gathered,
    group_document,
    without_chunks,
)
from xomezarr.errors import (
    CodecError,
    LabelError,
    MetadataError,
    OmeZarrError,
    OmeZarrWarning,
    PlacementWarning,
    alike_of_each,
    collecting,
    raise_all,
    told,
    warn,
)
from xomezarr.extents import place
from xomezarr.hierarchy import Hierarchy, Node, key_below
from xomezarr.model import Image

__all__ = ["Change", "Step", "Upgrade", "plan_upgrade"]


@dataclass(frozen=True, slots=True)
class Change:
    """A group or an array, and what describes it in the other version.

    Parameters
    ----------
    node
        As it is.
    documents
        By name, those that describe it.
    anew
        Why the chunks of an array are to be written anew; empty where they stay as they are.
    """

    node: Node
    documents: Mapping[str, Mapping[str, Any]] = field(hash=False)
    anew: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One write, or deletion, of a document; each is done at once or not at all.

    Parameters
    ----------
    key
        Below the root.
    content
        What is written; None where the document is deleted.
    """

    key: str
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade does, or has done.

    Parameters
    ----------
    store
        What is read, or changed where it is.
    destination
        Where it is written; None where it is changed where it is.
    before, version
        The version of OME-Zarr before, None where it names none, and afterwards.
    changes
        All groups and arrays, each after the group that it lies in.
    files
        Keys of what is no document of Zarr, nor a chunk.
    steps
        What is done to the documents where they are, in order; none where all is written elsewhere.
    """

    store: str
    destination: str | None
    before: str | None
    version: str
    changes: tuple[Change, ...]
    files: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def zarr_format(self) -> int:
        """Of the store afterwards."""
        return spec.zarr_format(self.version)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Attributes of the root afterwards."""
        made = self.changes[0].documents
        return made.get(".zattrs", {}) if self.zarr_format == 2 else made["zarr.json"]["attributes"]

    @property
    def groups(self) -> tuple[str, ...]:
        """Paths of the groups; empty for the root."""
        return tuple(change.node.path for change in self.changes if not change.node.is_array)

    @property
    def kept(self) -> tuple[str, ...]:
        """Paths of the arrays whose chunks stay as they are, to the byte."""
        return tuple(change.node.path for change in self.changes if change.node.is_array and not change.anew)

    @property
    def streamed(self) -> tuple[str, ...]:
        """Paths of the arrays whose chunks are decoded, and encoded anew."""
        return tuple(change.node.path for change in self.changes if change.anew)

    @property
    def consolidated(self) -> tuple[str, ...]:
        """Paths of the groups in which documents are gathered, before and afterwards."""
        return tuple(change.node.path for change in self.changes if change.node.is_consolidated)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        in_place = self.destination is None
        return {
            "store": self.store,
            "destination": self.destination,
            "before": self.before,
            "version": self.version,
            "groups": len(self.groups),
            "arrays_kept": list(self.kept),
            "arrays_streamed": list(self.streamed),
            "files": [] if in_place else list(self.files),
            "documents_written": [step.key for step in self.steps if step.content is not None],
            "documents_deleted": [step.key for step in self.steps if step.content is None],
        }

    def __str__(self) -> str:
        begin = f"{self.store}: OME-Zarr {self.before or '?'} → {self.version}"
        groups, kept, streamed = (_counted(*of) for of in self._counts())
        if self.destination is not None:
            lines = [f"copied to {self.destination}: {groups}, {kept} byte for byte", f"encoded anew: {streamed}"]
            return "\n".join([begin, *(f"  {line}" for line in lines)])
        if not self.steps:
            return f"{begin}\n  nothing to do: {groups}, {kept}"
        written = sum(step.content is not None for step in self.steps)
        told = f"{_counted(written, 'document')} written, {len(self.steps) - written} removed; no chunk is touched"
        return f"{begin}\n  in place: {groups}, {kept}\n  {told}"

    def _counts(self) -> Iterator[tuple[int, str]]:
        yield len(self.groups), "group"
        yield len(self.kept), "array"
        yield len(self.streamed), "array"


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _steps(changes: Sequence[Change], zarr_format: int) -> Iterator[Step]:
    """Yield what is done to the documents where they are, in order.

    New ones are written from the innermost outwards, so that whatever says that it is of the new version holds nothing
    that is not; who reads what is gathered in a group sees all in it at once. Those of the old version go last, from
    the root on.
    """
    writes = []
    for change in reversed(changes):
        node = change.node
        before = {} if node.zarr_format != zarr_format else _documents(node)
        for name, document in change.documents.items():
            gathers = name == CONSOLIDATED or "consolidated_metadata" in document
            is_new = name != CONSOLIDATED and alone(document) != before.get(name)
            writes.append((node.key(name), document, gathers, is_new))
    is_any_new = any(is_new for *_, is_new in writes)
    for key, document, gathers, is_new in writes:
        if is_new or (gathers and is_any_new):
            yield Step(key, encoded(document))
    for change in changes:
        # what makes it a group or an array of the old version goes before its attributes
        for name in sorted(set(change.node.there) - {*change.documents}, key=lambda name: name == ".zattrs"):
            yield Step(change.node.key(name))


def _documents(node: Node) -> dict[str, Mapping[str, Any]]:
    """Return the documents of a node as they are."""
    if node.zarr_format == 3:
        return {"zarr.json": {**alone(node.document), "attributes": node.attrs}}
    return {".zarray" if node.is_array else ".zgroup": node.document, ".zattrs": node.attrs}


def plan_upgrade(found: Hierarchy, version: str, *, store: str, destination: str | None = None) -> Upgrade:
    """Work out what a store becomes in another version.

    Parameters
    ----------
    found
        What lies in it.
    version
        Of OME-Zarr, one that is written.
    store, destination
        What it is called, and where it is to be written; None if it is changed where it is.

    Raises
    ------
    OmeZarrError
        If something in it cannot be said in that version, or, where it is changed where it is, an array would have to
        be written anew: each fault is told.
    """
    faults: list[tuple[str, OmeZarrError]] = []
    attrs: dict[str, Mapping[str, Any]] = {}
    dims: dict[str, tuple[str, ...]] = {}
    arrays = {node.path: node for node in found.nodes if node.is_array}
    before = spec.detect(found.nodes[0].attrs)
    for node in found.nodes:
        if not node.is_array:
            with _noted(faults, _called(node)):
                attrs[node.path] = _restated(node, version, arrays, before)
                dims |= _named_dims(node, attrs[node.path], version, arrays)
    changes = []
    left = _made_before(found) if destination is None else {}
    for node in found.nodes:
        with _noted(faults, _called(node)):
            if destination is None:
                _check_both(node, left)
            changes.append(_change(node, attrs, dims, version, in_place=destination is None))
    raise_all(alike_of_each(_cured(faults, version, destination), "node"), f"{store} cannot be brought to {version}")
    _tell_of_zlib(changes)
    zarr_format = spec.zarr_format(version)
    changes = [_with_gathered(change, changes, zarr_format) for change in changes]
    steps = () if destination is not None else tuple(_steps(changes, zarr_format))
    return Upgrade(store, destination, before, version, tuple(changes), found.files, steps)


def _with_gathered(change: Change, changes: Iterable[Change], zarr_format: int) -> Change:
    """Gather documents where some are gathered."""
    if not change.node.is_consolidated:
        return change
    begin = key_below(change.node.path, "")
    below = {
        one.node.path.removeprefix(begin): one.documents
        for one in changes
        if one is not change and one.node.path.startswith(begin)
    }
    return replace(change, documents=gathered(change.documents, below, zarr_format))


def _tell_of_zlib(changes: Iterable[Change]) -> None:
    """Warn of chunks that stay as they are, and that not all readers of Zarr v3 can read."""
    found = [change.node.path for change in changes if change.node.zarr_format == 2 and _has_zlib(change)]
    if found:
        warn(
            f"the arrays {told([*map(repr, found)])} are compressed by zlib, which the core of Zarr v3 does not have: "
            "they are read by those who know numcodecs.zlib, as zarr does, and not by all; write the images anew where "
            "that matters: da.omezarr.to_zarr(...)",
            OmeZarrWarning,
        )


def _has_zlib(change: Change) -> bool:
    codecs = change.documents.get("zarr.json", {}).get("codecs", ())
    return any(codec["name"] == documents.ZLIB for codec in codecs)


def _called(node: Node) -> str:
    return f"{'array' if node.is_array else 'group'} {node.path or '/'!r}"


class _noted(collecting):  # noqa: N801 - as its base
    """Collect what a block raises, with what it is of."""

    def __init__(self, faults: list[tuple[str, OmeZarrError]], called: str) -> None:
        super().__init__([])
        self.all, self.called = faults, called

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        done = super().__exit__(kind, error, traceback)
        self.all.extend((self.called, fault) for fault in self.faults)
        return done


def _cured(faults: Iterable[tuple[str, OmeZarrError]], version: str, destination: str | None) -> Iterator[Any]:
    """Say of arrays whose chunks cannot stay that a new store can hold them."""
    for called, fault in faults:
        if isinstance(fault, CodecError) and destination is None:
            cure = f'give a DST, where they are written: xomezarr.upgrade(src, "new.ome.zarr", version={version!r})'
            yield called, CodecError(f"{fault}, so that its chunks cannot stay where they are; {cure}")
        else:
            yield called, fault


# -- groups ---------------------------------------------------------------------------------------------------

NAMED_SO = {"labels": "labels", "series": "OME"}
"""How groups are called that list images: others may have such attributes for themselves."""


def _restated(node: Node, version: str, arrays: Mapping[str, Node], above: str | None = None) -> dict[str, Any]:
    """Return the attributes of a group in the version; `above` is that of the root."""
    kinds = spec.kinds(node.attrs)
    name = node.path.rpartition("/")[2]
    if name and kinds and all(NAMED_SO.get(kind, name) != name for kind in kinds):
        return dict(node.attrs)
    return spec.restated(node.attrs, version, placed=lambda image: _placed(node, image, arrays), above=above)


def _placed(node: Node, image: Image, arrays: Mapping[str, Node]) -> Image:
    """Return an image whose levels lie somewhere, which up to OME-Zarr 0.3 is told by their sizes alone."""
    if image.multiscale.placed:
        return image
    dims = image.multiscale.dims
    sizes = []
    for level in image.multiscale.levels:
        array = _array_of(node, level.path, arrays)
        shape = () if array is None else array.document["shape"]
        if len(shape) != len(dims):
            why = "there is no array" if array is None else f"the array has {len(shape)} dimensions"
            raise MetadataError(
                f"{why} at {level.path!r}, and the image has the axes {', '.join(dims)}; "
                "xomezarr.validate(store) lists all that is wrong"
            )
        sizes.append(dict(zip(dims, shape, strict=True)))
    found, doubts = place(image, sizes)
    if doubts:
        warn(
            f"{_called(node)} is of OME-Zarr {image.version}, which does not say where levels lie, and not all of "
            f"their sizes tell it: {'; '.join(doubts)}. Level 0 is not in question",
            PlacementWarning,
        )
    return found


def _array_of(node: Node, path: str, arrays: Mapping[str, Node]) -> Node | None:
    """Return the array to which a path of an image leads; None if it leads nowhere, or out of the image."""
    return arrays.get(posixpath.normpath(key_below(node.path, path))) if leads_below(path) else None


def _named_dims(
    node: Node, attrs: Mapping[str, Any], version: str, arrays: Mapping[str, Node]
) -> dict[str, tuple[str, ...]]:
    """Return the names of the dimensions of an image's arrays, by path. 0.5e (MUST): labels are integers."""
    if not spec.is_image(attrs) or node.zarr_format == spec.zarr_format(version):
        return {}
    image, named = spec.parse(attrs), {}
    for multiscale in image.multiscales:
        for level in multiscale.levels:
            array = _array_of(node, level.path, arrays)
            if array is None or len(array.document["shape"]) != len(multiscale.dims):
                continue
            named[array.path] = multiscale.dims
            if image.label is not None and spec.since(version, "0.5") and array.zarr_format == 2:
                _check_integers(array)
    return named


def _check_integers(array: Node) -> None:
    kind = "iu"
    with suppress(TypeError, ValueError, KeyError):  # a data type that nobody knows is told of the array
        kind = np.dtype(array.document["dtype"]).kind
    if kind not in "iu":
        raise LabelError(
            f"its level {array.path!r} is of {array.document['dtype']!r}, and labels are integers from OME-Zarr 0.5 "
            "on; write them as integers first: da.omezarr.to_labels(store, name, mode='w')"
        )


# -- what a killed upgrade leaves -------------------------------------------------------------------------------


def _made_before(found: Hierarchy) -> dict[str, Mapping[str, Any]]:
    """Return, by path, the document of Zarr v3 that an upgrade makes of those of v2, where a node is described in both.

    Those of which none can be made are left out.
    """
    if all(node.aside is None for node in found.nodes):
        return {}
    described = [one for node in found.nodes for one in (node, node.aside) if one is not None]
    old, new = ({one.path: one for one in described if one.zarr_format == number} for number in (2, 3))
    either = {**new, **old}
    arrays = {path: node for path, node in either.items() if node.is_array}
    newest = next(filter(None, map(_version_of, new.values())), spec.VERSIONS[-1])
    attrs: dict[str, Mapping[str, Any]] = {}
    dims: dict[str, tuple[str, ...]] = {}
    made: dict[str, Mapping[str, Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is doubtful is told of what counts
        for path, node in either.items():
            if not node.is_array:
                version = (_version_of(new[path]) if path in new else None) or newest
                with suppress(OmeZarrError):
                    attrs[path] = _restated(node, version, arrays)
                    dims |= _named_dims(node, attrs[path], version, arrays)
        for path in old.keys() & new.keys():
            with suppress(OmeZarrError, KeyError):
                node = old[path]
                of_array = node.is_array and array_document(node.document, node.attrs, 3, dims.get(path))
                made[path] = (of_array or group_document(attrs[path], 3))["zarr.json"]
    return made


def _version_of(node: Node) -> str | None:
    with suppress(OmeZarrError):
        return spec.detect(node.attrs)
    return None


def _check_both(node: Node, made: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse documents of both formats of which one was not made of the other: those that do not count are deleted."""
    if node.aside is None:
        return
    new = node if node.zarr_format == 3 else node.aside
    if _text(_documents(new)["zarr.json"]) == _text(made.get(node.path)):
        return
    old = " and ".join(repr(name) for name in node.there if name not in ("zarr.json", CONSOLIDATED))
    raise MetadataError(
        f"'zarr.json' says another thing than {old} beside it, as where one store was copied over another; remove what "
        f"is not meant: either 'zarr.json', of Zarr v3, or {old}, of v2"
    )


def _text(document: Any) -> str:
    """Return JSON to compare: 1 is not 1.0, and NaN is NaN."""
    return json.dumps(document, sort_keys=True)


# -- documents ------------------------------------------------------------------------------------------------


def _change(
    node: Node,
    attrs: Mapping[str, Mapping[str, Any]],
    dims: Mapping[str, tuple[str, ...]],
    version: str,
    *,
    in_place: bool,
) -> Change:
    zarr_format = spec.zarr_format(version)
    if not node.is_array:
        return Change(node, _of_group(node, attrs.get(node.path, node.attrs), zarr_format))
    if zarr_format == node.zarr_format:  # all of it stays, whether anybody knows what it says or not
        return Change(node, _as_there(node, array_document(node.document, node.attrs, zarr_format)))
    try:
        made = array_document(node.document, node.attrs, zarr_format, dims.get(node.path), nested=not in_place)
    except CodecError as error:
        if in_place:
            raise
        documents.chunk_shape(node.document)  # of which there is to be one
        return Change(node, without_chunks(node.document, node.attrs, zarr_format, dims.get(node.path)), str(error))
    documents.check_readable(made["zarr.json"], CodecError)
    return Change(node, _as_there(node, made))


def _of_group(node: Node, attrs: Mapping[str, Any], zarr_format: int) -> dict[str, Mapping[str, Any]]:
    if node.zarr_format == zarr_format == 3:
        return {"zarr.json": {**alone(node.document), "attributes": dict(attrs)}}
    return _as_there(node, group_document(attrs, zarr_format))


def _as_there(node: Node, made: dict[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return documents without attributes that are none, where none lie there either."""
    return {name: one for name, one in made.items() if name != ".zattrs" or one or ".zattrs" in node.there}
