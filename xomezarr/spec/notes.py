"""What a reader of metadata notes while it reads, and the error that it raises in the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from xomezarr.errors import MetadataError
from xomezarr.report import Finding

__all__ = ["Notes", "kind_of", "metadata_error"]


class Notes:
    """The findings so far, and among them those that prevent reading."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.stops: list[Finding] = []

    def error(self, rule: str, where: str, message: str, cure: str = "") -> None:
        """Note a broken MUST that leaves the image readable."""
        self.findings.append(Finding(rule, "error", where, message, cure))

    def warn(self, rule: str, where: str, message: str, cure: str = "") -> None:
        """Note a broken SHOULD."""
        self.findings.append(Finding(rule, "warning", where, message, cure))

    def stop(self, rule: str, where: str, message: str, cure: str = "") -> None:
        """Note a broken MUST without which there is nothing to read by."""
        self.extend([Finding(rule, "error", where, message, cure)], stops={rule})

    def extend(self, findings: Iterable[Finding], stops: Collection[str] = ()) -> None:
        """Note what the rules of `checks` found; the rules named by `stops` prevent reading."""
        for finding in findings:
            self.findings.append(finding)
            if finding.rule in stops:
                self.stops.append(finding)


def kind_of(value: Any) -> str:
    """Return what a JSON value is, for the messages.

    >>> kind_of([1]), kind_of(None), kind_of(True)
    ('a list', 'null', 'true')
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the string {value!r}"
    return "a list" if isinstance(value, list | tuple) else "an object"


def metadata_error(findings: Iterable[Finding], doing: str, cure: str) -> MetadataError:
    """Return one error that lists every finding.

    Parameters
    ----------
    findings
        At least one.
    doing
        What could not be done, such as ``"the OME metadata cannot be read"``.
    cure
        The call that helps further.
    """
    faults = [
        f"{finding.location}: {finding.message}{f'; {finding.cure}' if finding.cure else ''} (rule {finding.rule})"
        for finding in findings
    ]
    if len(faults) == 1:
        return MetadataError(f"{doing}: {faults[0]}; {cure}")
    lines = "\n".join(f"  {number}. {fault}" for number, fault in enumerate(faults, 1))
    return MetadataError(f"{doing}, for {len(faults)} reasons:\n{lines}\n{cure}")
