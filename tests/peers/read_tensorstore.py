# /// script
# requires-python = ">=3.12"
# dependencies = ["tensorstore==0.1.86"]
# ///
"""tensorstore: the arrays, found by its ``auto`` driver. It knows Zarr, not OME: no grids, no channels."""

from pathlib import Path

import telling
import tensorstore


def read(store):
    arrays = []
    while (path := Path(store).resolve() / str(len(arrays))).is_dir():
        # a level may be a group, in which its coordinates lie too
        path = path / "image" if (path / "image").is_dir() else path
        spec = {"driver": "auto", "kvstore": {"driver": "file", "path": f"{path}/"}}
        arrays.append(tensorstore.open(spec, read=True).result())
    assert arrays, f"there is no array '0' in {store}"
    labels = arrays[0].domain.labels
    return telling.image(
        [telling.level(array.read().result()) for array in arrays],
        [telling.axis(label) for label in labels] if all(labels) else None,
    )


telling.run("tensorstore", image=read)
