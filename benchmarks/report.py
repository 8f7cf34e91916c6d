"""Medians and ratios of what was measured: for the terminal, and as tables and plots for the docs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, REFERENCE
from latency import OPENERS, VERSIONS
from workloads import WORKLOADS

type Record = dict[str, Any]
type Rows = list[list[str]]

TABLES = "performance-tables.inc"
"""Not named `.md`, so that it is no page by itself."""
MODES = {"same": "same chunks and codec", "default": "each library's defaults"}
GROWTH = ("W3-1", "W3-2", "W3-4", "W3-8")
OURS, OTHERS, BOUND = "#1b6ca8", "#a9b4bd", "#e0a030"


# --- What is counted ---------------------------------------------------------------------------------------------


def last_campaigns(records: Iterable[Record], size: str) -> list[Record]:
    """Return the records of the last campaign of each table."""
    of_size = [record for record in records if record["size"] == size]
    last: dict[tuple[Any, ...], str] = {}
    for record in of_size:
        last[table_of(record)] = max(record["campaign"], last.get(table_of(record), ""))
    return [record for record in of_size if record["campaign"] == last[table_of(record)]]


def table_of(record: Record) -> tuple[Any, ...]:
    return record["kind"], record.get("workload"), record.get("mode")


def by_contender(records: Iterable[Record], workload: str, mode: str) -> dict[str, list[Record]]:
    """Return the measurements of each contender, in the order of the table of contenders."""
    mine = [r for r in records if table_of(r) == ("write", workload, mode)]
    return {name: found for name in CONTENDERS if (found := [r for r in mine if r["contender"] == name])}


def median(records: Sequence[Record], key: str) -> float | None:
    """Return the median of those that did not fail; None if all did."""
    values = [record[key] for record in records if key in record]
    return statistics.median(values) if values else None


def checked(records: Sequence[Record]) -> str:
    """Say in a word whether what was written is right."""
    checks = [record["check"] for record in records if "check" in record]
    if any("error" in check for check in checks):
        return f"not readable: {next(check['error'] for check in checks if 'error' in check)}"
    wrong = [key for key in ("shapes", "level0", "near") if any(check.get(key) is False for check in checks)]
    if wrong:
        return f"wrong: {', '.join(wrong)}"
    if not all(check["ok"] for check in checks):
        return "wrong: not exact"
    looked = [check["exact"] for check in checks if "exact" in check]
    return ("exact" if all(looked) else "plausible") if looked else "shapes"


# --- Words -------------------------------------------------------------------------------------------------------


def line(record: Record) -> str:
    """Return one measurement in one line."""
    where = " ".join(str(record[key]) for key in ("workload", "mode", "contender", "round") if key in record)
    if "error" in record:
        return f"{where}: FAILED: {record['error']}"
    if record["kind"] == "open":
        return f"{where}: " + ", ".join(f"{v} {record[v]['open_ms']} ms" for v in VERSIONS)
    check = checked([record])
    return f"{where}: {record['wall']:.2f} s, {record['peak_mb']:.0f} MB, {check}"


def text(records: list[Record]) -> str:
    """Return all tables of these records for a terminal."""
    parts = []
    for title, rows in tables(records):
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        parts.append("\n".join([title, "-" * len(title), *(line.rstrip() for line in lines)]))
    return "\n" + "\n\n".join(parts)


def markdown(records: list[Record], pictures: Sequence[tuple[str, Path]]) -> str:
    """Return pictures, by what they show, and all tables of these records as Markdown."""
    parts = ["<!-- made by benchmarks/run.py --report -->", conditions(records)]
    parts += [f"![{words}](images/{path.name})" for words, path in pictures]
    for title, rows in tables(records):
        head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        rule = "| --- |" + " ---: |" * (len(rows[0]) - 1)
        parts += [f"## {title}", "\n".join([head, rule, *body])]
    return "\n\n".join(parts) + "\n"


def conditions(records: list[Record]) -> str:
    """Say where and when, and with which versions."""
    machine = records[-1]["machine"]
    days = sorted({record["campaign"][:10] for record in records})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    versions = {}
    for record in records:
        if "version" in record:
            entry = CONTENDERS[record["contender"]]
            versions[entry.distribution or entry.environment] = record["version"]
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Measured {when} on {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, "
        f"Python {machine['python']}: {named}."
    )


def tables(records: list[Record]) -> list[tuple[str, Rows]]:
    """Return titles and rows, the first of which is the head."""
    found = []
    for workload, sizes in WORKLOADS.items():
        for mode, words in MODES.items():
            if measured := by_contender(records, workload, mode):
                found.append((f"{workload}: {sizes['full'].title}, {words}", writing(measured, mode)))
    if len(grown(records)) > 1:
        found.append(("W3: growth, same chunks and codec", growth(records)))
    if any(record["kind"] == "open" for record in records):
        found.append(("Opening an image of five levels", opening(records)))
    return found


def writing(measured: Mapping[str, list[Record]], mode: str) -> Rows:
    """Rows of one workload and mode, fastest first, failures last."""
    reference = median(measured[REFERENCE], "wall") if REFERENCE in measured else None
    head = ["", "seconds", "range", "ratio", "CPU s", "peak MB", "above MB", "files", "disk MB", "what was written"]
    head += ["chunks, codec"] if mode == "default" else []
    rows: list[tuple[float, list[str]]] = []
    for name, records in measured.items():
        label, wall = CONTENDERS[name].label, median(records, "wall")
        if wall is None:
            cells = [label, *[""] * (len(head) - 1)]
            cells[9] = f"failed: {records[-1]['error']}"
            rows.append((float("inf"), cells))
            continue
        walls = [record["wall"] for record in records if "wall" in record]
        cells = [label, f"{wall:.2f}", f"{min(walls):.2f}–{max(walls):.2f}", ratio(wall, reference)]
        cells.append(f"{median(records, 'cpu'):.1f}")
        cells += [f"{median(records, key):.0f}" for key in ("peak_mb", "above_mb", "files", "disk_mb")]
        cells.append(checked(records))
        cells += [layout(records)] if mode == "default" else []
        rows.append((wall, cells))
    return [head, *(cells for _, cells in sorted(rows, key=lambda row: row[0]))]


def ratio(value: float, reference: float | None) -> str:
    return f"{value / reference:.2f}" if reference else ""


def layout(records: Sequence[Record]) -> str:
    check = next((record["check"] for record in records if "chunks" in record.get("check", {})), None)
    if check is None:
        return ""
    return f"{'×'.join(map(str, check['chunks']))}, {check['codec']}, v{check['format']}"


def grown(records: list[Record]) -> dict[str, float]:
    """The sizes that were measured, in GiB."""
    return {
        name: WORKLOADS[name][records[0]["size"]].nbytes / 2**30
        for name in GROWTH
        if by_contender(records, name, "same")
    }


def growth(records: list[Record]) -> Rows:
    sizes = grown(records)
    rows = [["seconds / peak MB", *(f"{size:.3g} GiB" for size in sizes.values())]]
    of_size = {name: by_contender(records, name, "same") for name in sizes}
    for contender in dict.fromkeys(key for found in of_size.values() for key in found):
        cells = [CONTENDERS[contender].label]
        for found in of_size.values():
            mine = found.get(contender, [])
            wall = median(mine, "wall")
            cells.append("" if wall is None else f"{wall:.1f} / {median(mine, 'peak_mb'):.0f}")
        rows.append(cells)
    return rows


def opening(records: list[Record]) -> Rows:
    head = ["milliseconds", *(f"{v} {what}" for v in VERSIONS for what in ("open", "ratio to zarr", "first pixel"))]
    rows = [head]
    found = [record for record in records if record["kind"] == "open"]

    def typical(name: str, version: str, key: str) -> float | None:
        return median([r[version] for r in found if r["contender"] == name and version in r], key)

    for name, opener in OPENERS.items():
        mine = [record for record in found if record["contender"] == name]
        if not mine:
            continue
        cells = [opener.label]
        for version in VERSIONS:
            opened = typical(name, version, "open_ms")
            if opened is None:
                cells += [f"failed: {mine[-1].get('error', '')}", "", ""]
                continue
            bare = typical("zarr", version, "open_ms")
            cells += [f"{opened:.2f}", ratio(opened, bare), f"{typical(name, version, 'pixel_ms'):.2f}"]
        rows.append(cells)
    return rows


# --- Pictures ----------------------------------------------------------------------------------------------------


def write(results: Path, docs: Path, size: str) -> None:
    """Write the tables and plots that docs/performance.md shows."""
    records = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    records = last_campaigns(records, size)
    if not records:
        raise SystemExit(f"{results} has no results of size {size}; measure first")
    times, growing = docs / "images" / "performance-times.svg", docs / "images" / "performance-growth.svg"
    pictures = []
    if any(record["kind"] == "write" and record["workload"] not in GROWTH for record in records):
        plot_times(records, times)
        pictures.append(("Seconds and peak memory of each library on each workload", times))
    if len(grown(records)) > 1:
        plot_growth(records, growing)
        pictures.append(("Time and memory as the image grows", growing))
    (docs / TABLES).write_text(markdown(records, pictures), encoding="utf-8")


def pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    # the same figures make the same file
    mpl.rcParams |= {"svg.hashsalt": "xomezarr", "svg.fonttype": "none", "font.size": 9}
    import matplotlib.pyplot as plt

    return plt


def color(name: str) -> str:
    return BOUND if name.startswith("bound") else OURS if name.startswith("xomezarr") else OTHERS


def plot_times(records: list[Record], path: Path) -> None:
    """Draw seconds by contender, one panel a workload and mode; memory beside the bar."""
    plt = pyplot()
    panels = [
        (f"{workload}, {words}", measured)
        for workload in WORKLOADS
        for mode, words in MODES.items()
        if workload not in GROWTH and (measured := by_contender(records, workload, mode))
    ]
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(5 * columns, 2.7 * lines), squeeze=False, layout="constrained")
    for axis, (title, measured) in zip(axes.flat, panels, strict=False):
        bars = {name: wall for name, found in measured.items() if (wall := median(found, "wall")) is not None}
        names = sorted(bars, key=lambda name: -bars[name])
        drawn = axis.barh(
            [CONTENDERS[n].label for n in names], [bars[n] for n in names], color=[color(n) for n in names]
        )
        peaks = [f"{median(measured[name], 'peak_mb'):.0f} MB" for name in names]
        axis.bar_label(drawn, peaks, padding=3, fontsize=7, color="#555")
        axis.set(title=title, xlabel="seconds, and peak memory")
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def plot_growth(records: list[Record], path: Path) -> None:
    """Draw time and memory against the size of the image."""
    plt = pyplot()
    sizes = grown(records)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    of_size = {name: by_contender(records, name, "same") for name in sizes}
    marks = {key: cycle("sD^vPX") for key in ("wall", "peak_mb")}
    for contender in dict.fromkeys(key for found in of_size.values() for key in found):
        for axis, key in zip(axes, ("wall", "peak_mb"), strict=True):
            points = [(sizes[n], median(found.get(contender, []), key)) for n, found in of_size.items()]
            points = [point for point in points if point[1] is not None]
            if points:
                ours = color(contender) != OTHERS
                # others in one colour too, each with a mark of its own
                style = {"marker": "o", "linewidth": 2.2} if ours else {"marker": next(marks[key]), "linewidth": 1}
                label = CONTENDERS[contender].label
                axis.plot(*zip(*points, strict=True), color=color(contender), label=label, **style)
    for axis, words in zip(axes, ("seconds", "peak memory, MB"), strict=True):
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(list(sizes.values()), [f"{size:.3g}" for size in sizes.values()])
        axis.set(xlabel="GiB of level 0", ylabel=words)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
