"""The README's code, run as it stands in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"da": xr.DataArray(np.ones((64, 64), "uint8"), dims=("y", "x"), name="cells")}
    for block in blocks:
        exec(block, names)
    for store in ("embryo.ome.zarr", "embryo.ozx"):
        xr.testing.assert_identical(xr.open_dataarray(store, engine="omezarr"), names["da"])
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["cells.ome.zarr", "embryo.ome.zarr", "embryo.ozx", "screen.ome.zarr"]
