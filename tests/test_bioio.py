"""What BioIO reads: the real one, in an environment of its own, and what is told where it is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
from asking import OUT_OF_REACH, SCRIPTS, TIME_LIMIT, uv

from xomezarr import open_image
from xomezarr.errors import AxisError, MissingDependencyError, OmeZarrError, OtherImagesWarning

ROOT = Path(__file__).resolve().parents[1]


# --- the real one -------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.xdist_group("peers")
def test_czi_and_deltavision_are_converted_by_bioio(tmp_path: Path) -> None:
    command = [uv(), "run", "--no-project", "--python", sys.executable, "--with-editable", str(ROOT), "--script"]
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}}
    answer = subprocess.run(
        [*command, str(SCRIPTS / "convert_by_bioio.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    if answer.returncode == OUT_OF_REACH:
        pytest.skip(answer.stderr.strip())
    assert answer.returncode == 0, answer.stderr[-6000:]
    for version in ("0.4", "0.5"):
        tree: Any = xr.open_datatree(tmp_path / f"cells-{version}.ome.zarr", engine="omezarr")
        assert tree.omezarr.validate().valid
        level = tree.omezarr.level(0)
        assert level.dims == ("c", "z", "y", "x")
        np.testing.assert_array_equal(level.values, np.load(tmp_path / "cells.npy"))
        assert level.omezarr.scale == {"c": 1.0, "z": 2.0, "y": 0.325, "x": 0.325}
        assert level.x.attrs["units"] in ("µm", "micrometer")
        assert [channel.label for channel in tree.omezarr.channels] == ["DAPI", "GFP"]
    photo: Any = xr.open_datatree(tmp_path / "photo.ome.zarr", engine="omezarr")
    assert [channel.label for channel in photo.omezarr.channels] == ["red", "green", "blue"]
    np.testing.assert_array_equal(photo.omezarr.level(0).transpose("y", "x", "c"), np.load(tmp_path / "photo.npy"))
    deltavision = xr.open_dataarray(tmp_path / "dv.ome.zarr", engine="omezarr")
    assert {dim: deltavision[dim].attrs["scale"] for dim in "zyx"} == {"z": 2.0, "y": 0.325, "x": 0.325}
    np.testing.assert_array_equal(deltavision, np.load(tmp_path / "cells.npy"))
    told = json.loads(answer.stdout.splitlines()[-1])
    assert told["renamed"] == ["channel", "plane", "row", "column"]
    kinds = {name: kind for name, (kind, _) in told["errors"].items()}
    assert kinds == {
        "damaged.czi": "OmeZarrError",
        "a.nd2": "MissingDependencyError",
        "b.unknown": "OmeZarrError",
        "series": "OmeZarrError",
    }
    assert "pip install bioio-nd2" in told["errors"]["a.nd2"][1]
    assert "copy it again if it is damaged" in told["errors"]["damaged.czi"][1]
    assert "series=2 is none of them; give series=0" in told["errors"]["series"][1]


# --- without it ---------------------------------------------------------------


@pytest.mark.skipif(find_spec("bioio") is not None, reason="BioIO is installed")
@pytest.mark.parametrize(
    ("name", "reader"), [("a.czi", "bioio-czi"), ("a.ND2", "bioio-nd2"), ("a.lif", "bioio-lif"), ("a.dv", "bioio-dv")]
)
def test_c7_the_reader_that_is_missing_is_named(tmp_path: Path, name: str, reader: str) -> None:
    (tmp_path / name).write_bytes(b"ZISRAWFILE")
    with pytest.raises(MissingDependencyError, match=rf"{name}\" is read by BioIO, .*pip install bioio {reader}$"):
        open_image(tmp_path / name)


# --- what it may tell, by a stand-in that tells it ------------------------------


def dimensions(letters: str, shape: tuple[int, ...]) -> Any:
    class Dimensions:
        order = letters

        def __getitem__(self, letter: str) -> tuple[int]:
            return (shape[letters.index(letter)],)

    made = Dimensions()
    made.shape = shape  # type: ignore[attr-defined]
    return made


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Make BioIO say of a file what is given."""

    def say(letters: str, *shape: int, mosaic: tuple[str, tuple[int, ...]] | None = None, **told: Any) -> Path:
        pixels = dask.array.arange(int(np.prod(shape)), dtype="i4").reshape(shape)
        reader = SimpleNamespace(dask_data=pixels, dims=dimensions(letters, shape))
        if mosaic is not None:
            joined = xr.DataArray(dask.array.zeros(mosaic[1]), dims=tuple(mosaic[0]))
            reader.mosaic_dask_data, reader.mosaic_xarray_dask_data = joined.data, joined
        image = SimpleNamespace(
            reader=reader,
            scenes=("Image:0",),
            set_scene=lambda index: None,
            channel_names=None,
            physical_pixel_sizes=SimpleNamespace(Z=None, Y=None, X=None),
        )
        vars(image).update(told)
        module, base = ModuleType("bioio"), ModuleType("bioio_base.exceptions")
        module.BioImage = lambda path: image  # type: ignore[attr-defined]
        base.UnsupportedFileFormatError = type("UnsupportedFileFormatError", (Exception,), {})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "bioio", module)
        monkeypatch.setitem(sys.modules, "bioio_base", ModuleType("bioio_base"))
        monkeypatch.setitem(sys.modules, "bioio_base.exceptions", base)
        (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
        return tmp_path / "a.czi"

    return say


def test_dimensions_of_one_pixel_are_left_out_unless_something_is_known_of_them(telling: Any) -> None:
    sizes = SimpleNamespace(Z=2.0, Y=0.5, X=0.5)
    image = open_image(telling("HTCZYX", 1, 1, 1, 1, 8, 9, physical_pixel_sizes=sizes))
    assert image.dims == ("c", "z", "y", "x")
    assert image.z.attrs == {"scale": 2.0, "units": "µm"}
    assert image.name == "a"


def test_units_and_times_that_bioio_tells(telling: Any) -> None:
    units = {"Z": "mm", "Y": "nm", "X": None, "T": None}
    properties = SimpleNamespace(**{letter: SimpleNamespace(unit=unit) for letter, unit in units.items()})
    sizes = SimpleNamespace(Z=2.0, Y=float(np.float32(0.1)), X=0.0)
    known = {"dimension_properties": properties, "physical_pixel_sizes": sizes, "time_interval": timedelta(minutes=1)}
    image = open_image(telling("TZYX", 2, 3, 8, 9, **known))
    assert {dim: image[dim].attrs for dim in "tzy"} == {
        "t": {"scale": 60.0, "units": "s"},
        "z": {"scale": 2.0, "units": "mm"},
        "y": {"scale": 0.1, "units": "nm"},
    }
    assert "x" not in image.coords
    image = open_image(telling("TYX", 2, 8, 9, time_interval=0.5))
    assert image.t.attrs == {"scale": 0.5}


def test_other_dimensions_are_asked_for(telling: Any) -> None:
    path = telling("HCYX", 3, 2, 8, 9)
    with pytest.raises(AxisError, match=r"no place for H; .*open_image\(path, dims='hcyx'\)\.isel\(h=0\)"):
        open_image(path)
    np.testing.assert_array_equal(open_image(path, dims="hcyx").isel(h=1).values, np.arange(432).reshape(3, 2, 8, 9)[1])
    with pytest.raises(AxisError, match=r"no place for S; .*dims='cyxs'\)\.isel\(s=0\)"):
        open_image(telling("CYXS", 2, 8, 9, 3))
    assert open_image(telling("CYXS", 1, 8, 9, 4)).c.values.tolist() == ["red", "green", "blue", "alpha"]


def test_tiles_are_put_together_by_readers_that_can(telling: Any) -> None:
    assert open_image(telling("MCYX", 4, 2, 8, 9, mosaic=("CYX", (2, 16, 18)))).sizes == {"c": 2, "y": 16, "x": 18}

    path = telling("MYX", 4, 8, 9)
    import bioio  # type: ignore[import-not-found]

    class Alone(SimpleNamespace):
        @property
        def mosaic_dask_data(self) -> Any:
            raise NotImplementedError

    bioio.BioImage(path).reader = Alone(**vars(bioio.BioImage(path).reader))
    with pytest.raises(AxisError, match="no place for M"):
        open_image(path)


def test_further_scenes_are_told(telling: Any) -> None:
    path = telling("YX", 8, 9, scenes=("left", "right"))
    with pytest.warns(OtherImagesWarning, match=r"2 images.*series=1"):
        assert open_image(path).name == "left"
    assert open_image(path, series=1).name == "right"


def test_c7_whatever_its_readers_raise_names_the_file(telling: Any) -> None:
    path = telling("YX", 8, 9)
    import bioio

    def broken(path: str) -> Any:
        raise RuntimeError("no tiles")

    bioio.BioImage = broken
    with pytest.raises(OmeZarrError, match=r"a\.czi\" cannot be read by BioIO \(no tiles\)"):
        open_image(path)
