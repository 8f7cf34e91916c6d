"""Colours by name or by numbers."""

from typing import Any

from xomezarr.channels import hex_color

__all__ = ["rgba"]


def rgba(color: Any) -> tuple[int, int, int, int]:
    """Return red, green, blue and opacity from 0 to 255."""
    if isinstance(color, tuple):
        return (*color, 255)[:4]  # type: ignore[return-value]
    red, green, blue = bytes.fromhex(hex_color(color))
    return red, green, blue, 255
