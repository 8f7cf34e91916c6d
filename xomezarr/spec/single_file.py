"""The JSON in the comment of a single file, a zip file, as RFC-9 has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from xomezarr.report import Finding

__all__ = ["dump", "findings"]


def dump(version: str | None) -> bytes:
    """Return the comment of a file in which the documents stand before all else, breadth first."""
    named = {} if version is None else {"version": version}
    return json.dumps({"ome": {**named, "zipFile": {"centralDirectory": {"jsonFirst": True}}}}).encode()


def findings(comment: bytes, version: str | None, *, documents_first: bool) -> Iterator[Finding]:
    """121 (SHOULD): the comment is a JSON object that names the version of the hierarchy; what it says is true (MUST).

    Parameters
    ----------
    comment
        Of the zip file.
    version
        That the hierarchy claims.
    documents_first
        Whether the documents stand before all else, breadth first.
    """
    told = _object(_parsed(comment)).get("ome")
    named = _object(told).get("version")
    if not isinstance(named, str):
        cure = f"write the file anew, with the comment {dump(version).decode()}"
        yield Finding("121", "warning", "comment", "it does not name the version of OME-Zarr in JSON", cure)
    elif named != version:
        what = f"the version is {named!r}, and that of the root {version!r}"
        yield Finding("121", "error", "comment.ome.version", what, f'write "{version}"')
    if _object(_object(_object(told).get("zipFile")).get("centralDirectory")).get("jsonFirst") and not documents_first:
        what = "it says that zarr.json stand first, which they do not: readers may miss those that follow"
        cure = "leave it out, or write the file anew"
        yield Finding("121", "error", "comment.ome.zipFile.centralDirectory.jsonFirst", what, cure)


def _parsed(comment: bytes) -> Any:
    try:
        return json.loads(comment)
    except (ValueError, RecursionError):  # not JSON, or not UTF-8
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
