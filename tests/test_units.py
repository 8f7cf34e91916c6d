"""One vocabulary of units: OME-Zarr's names, what users write, and pint for the rest (C1)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr

from xomezarr import units
from xomezarr.errors import UnitError
from xomezarr.units import SPACE_UNITS, TIME_UNITS, axis_type, convert, ome_unit, reference_date, same_unit

METRES = {"yocto": -24, "zepto": -21, "atto": -18, "femto": -15, "pico": -12, "nano": -9, "micro": -6, "milli": -3}
METRES |= {"centi": -2, "deci": -1, "": 0, "hecto": 2, "kilo": 3, "mega": 6, "giga": 9, "tera": 12, "peta": 15}
METRES |= {"exa": 18, "zetta": 21, "yotta": 24}
SYMBOLS = ("y", "z", "a", "f", "p", "n", "u", "m", "c", "d", "", "h", "k", "M", "G", "T", "P", "E", "Z", "Y")


def test_c1_the_recommended_names_are_those_of_the_specification() -> None:
    # the lists of section "axes" in OME-Zarr 0.4 and 0.5
    assert len(set(SPACE_UNITS)) == 26
    assert len(set(TIME_UNITS)) == 23
    assert {"angstrom", "foot", "inch", "mile", "parsec", "yard", "yottameter"} <= set(SPACE_UNITS)
    assert {"day", "hour", "minute", "second", "yoctosecond"} <= set(TIME_UNITS)


@pytest.mark.parametrize("name", [*SPACE_UNITS, *TIME_UNITS])
def test_c1_a_recommended_name_stands_for_itself(name: str) -> None:
    assert ome_unit(name) == name
    assert ome_unit(f" {name} ") == name
    assert axis_type(name) == ("space" if name in SPACE_UNITS else "time")


@pytest.mark.parametrize(("prefix", "symbol"), list(zip(METRES, SYMBOLS, strict=True)))
def test_c1_prefixes_are_case_sensitive_and_right_by_their_power(prefix: str, symbol: str) -> None:
    assert ome_unit(f"{symbol}m") == f"{prefix}meter"
    assert ome_unit(f"{symbol}s") == f"{prefix}second"
    assert ome_unit(f"{prefix}metre") == f"{prefix}meter"
    assert ome_unit(f"{prefix}meters") == f"{prefix}meter"
    assert convert(f"{symbol}m", "m") == pytest.approx(10.0 ** METRES[prefix], rel=1e-12)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("um", "micrometer"),
        ("\u00b5m", "micrometer"),  # micro sign
        ("\u03bcm", "micrometer"),  # Greek letter
        ("\u00b5s", "microsecond"),
        ("\u03bcs", "microsecond"),
        ("micron", "micrometer"),
        ("microns", "micrometer"),
        ("Mm", "megameter"),
        ("mm", "millimeter"),
        ("pm", "picometer"),
        ("Pm", "petameter"),
        ("nm", "nanometer"),  # not a nautical mile
        ("fm", "femtometer"),  # not a fermi, as pint has it
        ("fermi", "femtometer"),
        ("\u00c5", "angstrom"),
        ("\u212b", "angstrom"),
        ("in", "inch"),
        ("min", "minute"),
        ("h", "hour"),
        ("d", "day"),
        ("days", "day"),
        ("sec", "second"),
        ("msec", "millisecond"),
        ("seconds since 2000-01-01", "second"),
        ("hours since 2000-01-01 00:00:00", "hour"),
        ("1e-6 meter", None),
        ("furlong", None),
        ("week", None),
        ("pixel", None),
        ("degree", None),
        ("kg", None),
        ("UM", None),
        ("no such unit", None),
        ("", None),
        ("((", None),
    ],
)
def test_c1_spellings(spelled: str, name: str | None) -> None:
    assert ome_unit(spelled) == name


@pytest.mark.parametrize("spelled", ["micro_meter", "millimicrometer", "decananometer", "centiinch", "dekameter"])
def test_c1_units_that_only_pint_knows_are_named_by_equal_factor(spelled: str) -> None:
    pint = pytest.importorskip("pint")
    registry = pint.get_application_registry()
    name = ome_unit(spelled)
    try:
        metres = registry.Quantity(1.0, registry.Unit(spelled)).to("m").magnitude
    except Exception:
        assert name is None
        return
    equal = [unit for unit in SPACE_UNITS if registry.Quantity(1.0, unit).to("m").magnitude == pytest.approx(metres)]
    assert [name] == (equal or [None])


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("furlong", "space"),
        ("light_year", "space"),
        ("week", "time"),
        ("weeks since 2000-01-01", "time"),
        ("degree", None),
        ("pixel", None),
        ("m/s", None),
        ("m**2", None),
        ("", None),
    ],
)
def test_c1_units_tell_the_axis_type(unit: str, kind: str | None) -> None:
    assert axis_type(unit) == kind


def test_c1_reference_dates() -> None:
    assert reference_date("seconds since 2024-05-01 10:00") == ("seconds", "2024-05-01 10:00")
    assert reference_date("seconds") is None


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("um", "nanometer", 1000.0),
        ("nm", "um", 0.001),
        ("inch", "mm", 25.4),
        ("foot", "m", 0.3048),
        ("angstrom", "nm", 0.1),
        ("fm", "m", 1e-15),
        ("hour", "s", 3600.0),
        ("furlong", "m", 201.168),
        ("um", "micron", 1.0),
        ("seconds since 2000-01-01", "ms", 1000.0),
    ],
)
def test_c1_conversion_factors(source: str, target: str, factor: float) -> None:
    if source == "furlong":  # pint's is that of the survey foot
        assert convert(source, target) == pytest.approx(factor, rel=1e-5)
    else:
        assert convert(source, target) == factor


@pytest.mark.parametrize(
    ("source", "target", "part"),
    [
        ("um", "second", "different things"),
        ("pixel", "um", "different things"),
        ("um", "bogus", "'bogus' is unknown"),
        ("bogus", "um", "'bogus' is unknown"),
        ("degC", "kelvin", "different zeros"),
        ("um", "", "not text"),
        ("um", None, "not text"),
    ],
)
def test_c7_what_cannot_be_converted_is_said(source: str, target: str, part: str) -> None:
    with pytest.raises(UnitError, match=part):
        convert(source, target)


def test_c1_same_unit() -> None:
    assert same_unit("um", "microns")
    assert same_unit(None, None)
    assert same_unit("furlong", "furlong")
    assert not same_unit("um", "nm")
    assert not same_unit("um", None)
    assert not same_unit("furlong", "rod")


def test_c9_common_units_do_not_import_pint() -> None:
    code = """
import sys
from xomezarr.units import axis_type, convert, ome_unit, same_unit
assert ome_unit("µm") == ome_unit("microns") == "micrometer"
assert axis_type("seconds since 2000-01-01") == "time" and axis_type("") is None
assert convert("um", "micron") == 1.0 and same_unit("um", "µm")
sys.exit("pint" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_c9_units_that_are_known_by_name_do_not_load_what_pint_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes half a second, and `assign_grid` looks whether a unit is meant otherwise."""

    def load() -> Any:
        raise AssertionError("pint was asked")

    monkeypatch.setattr(units, "_registry", load)
    da = xr.DataArray(np.zeros((3, 4, 4)), dims=("t", "y", "x"))
    da = da.omezarr.assign_grid(units={"t": "s", "y": "um", "x": "micrometer"})
    assert da.omezarr.units == {"t": "s", "y": "um", "x": "micrometer"}
