"""Open, find and publish Zarr groups: local, remote, in memory, zipped."""

from __future__ import annotations
