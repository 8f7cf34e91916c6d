"""Write one workload with one contender, and print what it cost as one line of JSON.

Started by `run.py` in the environment of the contender, once for each measurement:

    python one.py WORKLOAD SIZE CONTENDER MODE DATA STORE
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import writers
from contenders import CONTENDERS
from data import location
from measure import measure, size_on_disk
from workloads import WORKLOADS, Workload


def images(workload: Workload, folder: Path, size: str) -> list[Any]:
    """Return what is written, in memory or as a path."""
    path = location(folder, workload, size)
    if workload.source == "zarr":
        return [path]
    pixels = np.load(path)
    return list(pixels) if workload.images > 1 else [pixels]


def main(name: str, size: str, contender: str, mode: str, folder: Path, store: Path) -> None:
    entry = CONTENDERS[contender]
    writer = getattr(writers, entry.writer)

    def write(sized: str, target: Path) -> dict[str, float]:
        workload = WORKLOADS[name][sized]
        given = images(workload, folder, sized)
        targets = [target / str(i) for i in range(len(given))] if len(given) > 1 else [target]

        def call() -> None:
            for image, path in zip(given, targets, strict=True):
                writer(image, path, workload, mode == "same", **entry.options)

        return measure(call)

    write("warm", store.with_name(f"warm-{store.name}"))
    result: dict[str, Any] = {**write(size, store), **size_on_disk(store)}
    result["version"] = importlib.metadata.version(entry.distribution or entry.environment)
    print(json.dumps(result))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable()
    *names, data_folder, written = sys.argv[1:]
    main(*names, folder=Path(data_folder), store=Path(written))
