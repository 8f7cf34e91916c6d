"""One vocabulary of units: the names that OME-Zarr recommends, what users write for them, and pint for the rest."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from xomezarr.errors import UnitError

__all__ = [
    "SPACE_UNITS",
    "SYMBOLS",
    "TIME_UNITS",
    "axis_type",
    "convert",
    "meant",
    "measures_something_else",
    "ome_unit",
    "reference_date",
    "same_unit",
    "symbol",
]

_PREFIXES = {
    "yocto": "y",
    "zepto": "z",
    "atto": "a",
    "femto": "f",
    "pico": "p",
    "nano": "n",
    "micro": "u",
    "milli": "m",
    "centi": "c",
    "deci": "d",
    "hecto": "h",
    "kilo": "k",
    "mega": "M",
    "giga": "G",
    "tera": "T",
    "peta": "P",
    "exa": "E",
    "zetta": "Z",
    "yotta": "Y",
}

SPACE_UNITS: tuple[str, ...] = (
    "angstrom",
    "foot",
    "inch",
    "meter",
    "mile",
    "parsec",
    "yard",
    *(f"{prefix}meter" for prefix in _PREFIXES),
)
"""The 26 units of length that OME-Zarr recommends (UDUNITS-2 names)."""

TIME_UNITS: tuple[str, ...] = (
    "day",
    "hour",
    "minute",
    "second",
    *(f"{prefix}second" for prefix in _PREFIXES),
)
"""The 23 units of time that OME-Zarr recommends (UDUNITS-2 names)."""


def _aliases() -> dict[str, str]:
    """Spell each recommended unit as users do. Case counts: ``Mm`` is not ``mm``."""
    spelled = {name: name for name in (*SPACE_UNITS, *TIME_UNITS)}
    for prefix, symbol in {"": "", **_PREFIXES}.items():
        # µ has two code points, the micro sign and the Greek letter
        for short in ("u", "µ", "μ") if symbol == "u" else (symbol,):
            spelled[f"{short}m"] = f"{prefix}meter"
            spelled[f"{short}s"] = f"{prefix}second"
        spelled[f"{prefix}metre"] = f"{prefix}meter"
        spelled[f"{symbol}sec"] = f"{prefix}second"
    spelled |= {
        "micron": "micrometer",
        "\u00c5": "angstrom",
        "\u212b": "angstrom",  # the angstrom sign, which looks the same
        "Angstrom": "angstrom",
        "ångström": "angstrom",
        "ft": "foot",
        "feet": "foot",
        "in": "inch",
        "inches": "inch",
        "mi": "mile",
        "pc": "parsec",
        "yd": "yard",
        "d": "day",
        "h": "hour",
        "hr": "hour",
        "min": "minute",
    }
    plurals = {f"{name}s": unit for name, unit in spelled.items() if len(name) > 2 and not name.endswith("s")}
    return plurals | spelled


ALIASES: Mapping[str, str] = _aliases()

SYMBOLS: Mapping[str, str] = {
    **{
        f"{prefix}{unit}": f"{'µ' if symbol == 'u' else symbol}{short}"
        for prefix, symbol in {"": "", **_PREFIXES}.items()
        for unit, short in (("meter", "m"), ("second", "s"))
    },
    "angstrom": "Å",
    "foot": "ft",
    "inch": "in",
    "mile": "mi",
    "parsec": "pc",
    "yard": "yd",
    "day": "d",
    "hour": "h",
    "minute": "min",
}
"""The symbols of the recommended units, as OME-XML spells them."""

_SINCE = re.compile(r"^\s*(?P<unit>\S+)\s+since\s+(?P<date>.+)$")


def reference_date(unit: str) -> tuple[str, str] | None:
    """Take a CF unit of time apart; None if it names no reference date.

    >>> reference_date("seconds since 2024-05-01")
    ('seconds', '2024-05-01')
    """
    match = _SINCE.match(unit)
    return (match["unit"], match["date"]) if match else None


def ome_unit(unit: str) -> str | None:
    """Return the name that OME-Zarr recommends for a unit, or None if it has none.

    Parameters
    ----------
    unit
        Any spelling: a recommended name, a symbol, a plural, a CF unit of time with its reference date,
        or whatever pint knows. Units are compared by their factor to the metre or the second, never by
        pint's symbols (``fm`` is fermi there).

    Examples
    --------
    >>> ome_unit("µm"), ome_unit("microns"), ome_unit("fm"), ome_unit("pixel")
    ('micrometer', 'micrometer', 'femtometer', None)
    """
    unit = unit.strip()
    since = reference_date(unit)
    if since:
        unit = since[0]
    if not unit:
        return None
    if unit in ALIASES:
        return ALIASES[unit]
    for base, names in (("meter", SPACE_UNITS), ("second", TIME_UNITS)):
        factor = _factor(unit, base)
        if factor is not None:
            return next(
                (name for name in names if math.isclose(factor, _known_factor(name, base), rel_tol=1e-12)), None
            )
    return None


def symbol(unit: str) -> str:
    """Return how a unit is shown: by its symbol if OME-Zarr recommends it, whatever its spelling, else as it is.

    >>> symbol("um"), symbol("micrometer"), symbol("seconds since 2024-05-01"), symbol("furlong")
    ('µm', 'µm', 'seconds since 2024-05-01', 'furlong')
    """
    return SYMBOLS.get(ALIASES.get(unit.strip(), ""), unit)


def axis_type(unit: str) -> str | None:
    """Return the axis type that a unit measures: ``"space"``, ``"time"`` or None.

    >>> axis_type("um"), axis_type("furlong"), axis_type("degree")
    ('space', 'space', None)
    """
    name = ome_unit(unit)
    if name is not None:
        return "space" if name in SPACE_UNITS else "time"
    since = reference_date(unit)
    unit = since[0] if since else unit.strip()
    if not unit:
        return None
    if _factor(unit, "meter") is not None:
        return "space"
    return "time" if _factor(unit, "second") is not None else None


NAMES: Mapping[str, tuple[str, ...]] = {"space": SPACE_UNITS, "time": TIME_UNITS}
"""The recommended units by the type of axis that they measure."""


def measures_something_else(unit: str, kind: str) -> bool:
    """Whether a unit is known, and measures neither what an axis of this type needs, nor a count, as ``pixel`` does.

    >>> [measures_something_else(unit, "space") for unit in ("kg", "s", "um", "furlong", "pixel", "micrn")]
    [True, True, False, False, False, False]
    """
    measured = axis_type(unit)
    if measured is not None or kind not in NAMES:
        return kind in NAMES and measured != kind
    return bool({*_dimensionality(unit.strip())} - {"[printing_unit]"})


def meant(unit: str, kind: str) -> str | None:
    """Return the recommended unit of an axis of this type that an unknown unit is much like; None if there is none.

    >>> meant("micrn", "space"), meant("seconts", "time"), meant("pixel", "space"), meant("stage step", "space")
    ('micrometer', 'second', None, None)
    """
    asked = unit.strip()
    if ome_unit(asked) is not None or _defined(asked):  # pint is asked last: it takes time to load
        return None
    spelled = [text for text, name in ALIASES.items() if name in NAMES.get(kind, ()) and len(text) >= LIKE_FROM]
    close = difflib.get_close_matches(asked.lower(), spelled, n=1, cutoff=0.75)
    return ALIASES[close[0]] if close else None


LIKE_FROM = 4
"""Letters of a spelling from which on others are like it."""


def convert(source: str, target: str) -> float:
    """Return the number by which a value in `source` is multiplied to be in `target`.

    Raises
    ------
    UnitError
        If one of them is unknown, or they measure different things.

    Examples
    --------
    >>> convert("um", "nanometer")
    1000.0
    """
    for unit in (source, target):
        if not isinstance(unit, str) or not unit.strip():
            raise UnitError(f'the unit {unit!r} is not text; name one that pint knows: to_units("micrometer")')
    source_name, target_name = ome_unit(source) or source, ome_unit(target) or target
    if source_name == target_name:
        return 1.0
    import pint

    registry = _registry()
    try:
        before, after = registry.Unit(source_name), registry.Unit(target_name)
        zero, factor = (float(registry.Quantity(value, before).to(after).magnitude) for value in (0.0, 1.0))
    except pint.DimensionalityError:
        raise UnitError(
            f"{source!r} cannot be converted to {target!r}: they measure different things; "
            f'name a unit of the same kind, such as to_units("micrometer")'
        ) from None
    except Exception as error:  # pint raises many kinds, its parser Python's own
        unknown = source if _defined(target_name) else target
        raise UnitError(f'the unit {unknown!r} is unknown ({error}); name one that pint knows, such as "um"') from None
    if zero != 0:
        raise UnitError(
            f"{source!r} and {target!r} have different zeros, and no scale turns one into the other; "
            "convert the values before they become coordinates: assign_coords(…)"
        )
    return _tidy(factor)


def same_unit(first: str | None, second: str | None) -> bool:
    """Whether two spellings mean the same unit."""
    if first is None or second is None:
        return first is second
    return first == second or (ome_unit(first) is not None and ome_unit(first) == ome_unit(second))


@cache
def _registry() -> Any:
    """Return pint's registry: its import takes a fifth of a second, which only unusual units pay."""
    import pint

    return pint.get_application_registry()


@cache
def _factor(unit: str, base: str) -> float | None:
    """Return how many metres or seconds a unit has, or None if it measures something else."""
    try:
        registry = _registry()
        return float(registry.Quantity(1.0, registry.Unit(unit)).to(base).magnitude)
    except Exception:  # pint raises many kinds: unknown units, offsets, syntax, Python's own from its parser
        return None


@cache
def _known_factor(name: str, base: str) -> float:
    """Return how many metres or seconds a recommended unit has."""
    factor = _factor(name, base)
    assert factor is not None, name
    return factor


@cache
def _defined(unit: str) -> bool:
    try:
        _registry().Unit(unit)
    except Exception:  # see _factor
        return False
    return True


@cache
def _dimensionality(unit: str) -> tuple[str, ...]:
    """Return what a unit measures, in pint's words; nothing of one that it does not know, and of plain numbers."""
    try:
        return tuple(_registry().Unit(unit).dimensionality)
    except Exception:  # see _factor
        return ()


def _tidy(factor: float) -> float:
    """Undo pint's rounding, and nothing else.

    >>> _tidy(999.9999999999999), _tidy(1 / 60) == 1 / 60
    (1000.0, True)
    """
    short = float(f"{factor:.12g}")
    return short if math.isclose(short, factor, rel_tol=4 * sys.float_info.epsilon) else factor
