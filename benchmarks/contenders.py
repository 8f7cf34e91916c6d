"""Who takes part: each with its environment, and with what is special about its call.

Imports no library that takes part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """One row of a table.

    Parameters
    ----------
    label
        How tables call it.
    environment
        A name of `environments.REQUIREMENTS`.
    writer
        A function of `writers`.
    options
        Given to that function.
    only
        The workloads that it takes part in; left out, all.
    exact
        Whether each voxel of each level has to be the exact mean of level 0, rounded once.
    defaults
        Whether it has defaults, and so takes part in runs with them.
    quick
        Whether it takes part in quick trials without being named: some need many seconds to start.
    distribution
        The one whose version is told; left out, that named as the environment.
    """

    label: str
    environment: str
    writer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] | None = None
    exact: bool = False
    defaults: bool = True
    quick: bool = True
    distribution: str | None = None

    def takes(self, workload: str, mode: str) -> bool:
        return (self.only is None or workload in self.only) and (mode == "same" or self.defaults)

    @property
    def added(self) -> int:
        """What the source adds to each pixel of the input."""
        return 1 if self.options.get("source") == "computed" else 0


def _ours(label: str, **fields: Any) -> Contender:
    return Contender(label, fields.pop("environment", "xomezarr"), "xomezarr", exact=True, **fields)


VOLUMES = ("W2", "W3-1", "W3-2", "W3-4", "W3-8")
"""The workloads without channels and time."""

REFERENCE = "xomezarr"
"""The contender whose time is 1."""

CONTENDERS: Mapping[str, Contender] = {
    "xomezarr": _ours("xomezarr"),
    "ome-zarr": Contender("ome-zarr-py", "ome-zarr", "ome_zarr"),
    "ngff-zarr": Contender("ngff-zarr", "ngff-zarr", "ngff_zarr"),
    # with a dimension of channels or time it takes no chunks: "Provided chunks have 2 dims; expected 3"
    "multiscale-spatial-image": Contender(
        "multiscale-spatial-image", "multiscale-spatial-image", "multiscale_spatial_image", only=VOLUMES, quick=False
    ),
    "ome-zarr-pyramid": Contender("ome-zarr-pyramid", "ome-zarr-pyramid", "ome_zarr_pyramid"),
    "bioio-ome-zarr": Contender("bioio-ome-zarr", "bioio-ome-zarr", "bioio_ome_zarr", quick=False),
    "tensorstore": Contender("tensorstore alone", "tensorstore", "tensorstore", defaults=False),
    "bound": Contender("bound: no library", "bound", "bound", exact=True, defaults=False, distribution="numcodecs"),
    # other sources of the same pixels
    "xomezarr-lazy": _ours("xomezarr, opened lazily without dask", options={"source": "lazy"}, only=("W2",)),
    "xomezarr-computed": _ours("xomezarr, computed by dask", options={"source": "computed"}, only=("W2",)),
    "ome-zarr-computed": Contender(
        "ome-zarr-py, computed by dask",
        "ome-zarr",
        "ome_zarr",
        {"source": "computed"},
        ("W2",),
        defaults=False,
        quick=False,
    ),
    "ngff-zarr-computed": Contender(
        "ngff-zarr, computed by dask",
        "ngff-zarr",
        "ngff_zarr",
        {"source": "computed"},
        ("W2",),
        defaults=False,
        quick=False,
    ),
    # hardly any arithmetic: what is left for a compiled kernel to save
    "xomezarr-nearest": Contender(
        "xomezarr, nearest", "xomezarr", "xomezarr", {"method": "nearest"}, ("W1", "W2", "W4"), defaults=False
    ),
    # filters: pixels beyond the blocks are read again
    "xomezarr-gaussian": Contender(
        "xomezarr, gaussian", "xomezarr", "xomezarr", {"method": "gaussian"}, ("W1", "W2"), defaults=False
    ),
    # one worker instead of two
    "xomezarr-1": _ours("xomezarr, one worker", options={"workers": 1}, only=("W1", "W2"), defaults=False),
    "bound-1": Contender(
        "bound, one thread",
        "bound",
        "bound",
        {"workers": 1},
        ("W1", "W2"),
        exact=True,
        defaults=False,
        distribution="numcodecs",
    ),
}
"""By the name that commands take."""
