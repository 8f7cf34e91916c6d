"""What strict validation asks: each SHOULD as if it were a MUST."""

from __future__ import annotations

from collections.abc import Iterable

from xomezarr.report import Finding

__all__ = ["STRICT_LENIENT", "escalate"]

STRICT_LENIENT = frozenset({"11", "70", "0.3c", "0.5f"})
"""SHOULDs that stay warnings under strict validation, as the official strict examples break them.

They have a time axis without a unit, plates without ``field_count``, images of 0.3 without ``_ARRAY_DIMENSIONS``, and
plates of 0.5 that do not name the version.
"""


def escalate(findings: Iterable[Finding]) -> list[Finding]:
    """Turn each broken SHOULD into an error, but those of `STRICT_LENIENT`: what strict validation asks."""
    return [
        finding
        if finding.severity != "warning" or finding.rule in STRICT_LENIENT
        else Finding(finding.rule, "error", finding.location, finding.message, finding.cure)
        for finding in findings
    ]
