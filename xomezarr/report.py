"""What is wrong with a store, finding by finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Finding", "Report", "Severity"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that a store breaks.

    Parameters
    ----------
    rule
        Number of the rule, as in the list of rules in the documentation: ``"19"`` for one of OME-Zarr 0.4
        (and of later versions that keep it), ``"0.5c"`` for one that came with 0.5, from ``"91"`` on for our own.
    severity
        ``"error"`` for a MUST, ``"warning"`` for a SHOULD, ``"note"`` for what could not be judged.
    location
        Where in the metadata, such as ``"multiscales[0].axes[1].name"``; or the path of an array. The path of a group
        below the one that is examined stands before it, as in ``"A/1/0: multiscales[0].axes[1].name"``.
    message
        What is wrong there, with the value at fault.
    cure
        What would mend it.
    """

    rule: str
    severity: Severity
    location: str
    message: str
    cure: str = ""

    def __str__(self) -> str:
        cure = f"; {self.cure}" if self.cure else ""
        return f"{self.severity} (rule {self.rule}) at {self.location}: {self.message}{cure}"

    def to_dict(self) -> dict[str, str]:
        """Return the finding as a JSON object."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "location": self.location,
            "message": self.message,
            "cure": self.cure,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of a validation, true where no rule that is a MUST is broken; going through it gives each.

    Parameters
    ----------
    store
        What was examined.
    version
        Version of OME-Zarr that its metadata claim; None if they claim none.
    findings
        All that was found, in the order of the metadata.
    """

    store: str
    version: str | None
    findings: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __bool__(self) -> bool:
        return self.valid

    @property
    def valid(self) -> bool:
        """Whether no rule that is a MUST is broken."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings of severity ``"error"``."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings of severity ``"warning"``."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Findings of severity ``"note"``: what could not be judged."""
        return tuple(finding for finding in self.findings if finding.severity == "note")

    def __str__(self) -> str:
        verdict = "valid" if self.valid else "invalid"
        head = f"{self.store}: {verdict} OME-Zarr {self.version or '(no version)'}"
        found = {"error": self.errors, "warning": self.warnings, **({"note": self.notes} if self.notes else {})}
        counts = (f"{len(each)} {name}{'' if len(each) == 1 else 's'}" for name, each in found.items())
        return "\n".join([f"{head} ({', '.join(counts)})", *(f"  {finding}" for finding in self.findings)])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "store": self.store,
            "version": self.version,
            "valid": self.valid,
            "findings": [finding.to_dict() for finding in self.findings],
        }
