"""Metadata that are spoiled in any place."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def spoil(data: st.DataObject, metadata: Any, values: st.SearchStrategy[Any]) -> None:
    """Replace one value anywhere in metadata, or remove it."""
    node = metadata
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        if data.draw(st.booleans()):
            del node[key]
        else:
            node[key] = data.draw(values)
        return
