"""Parts of the reference that are made of the code: commands, errors, readers, metadata, proofs, notebooks."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import metadata

from xomezarr import errors
from xomezarr.cli import build_app
from xomezarr.readers.table import BY_BIOIO, READERS

ROOT = Path(__file__).resolve().parents[1]


def commands() -> str:
    """Return the help of all commands, as Markdown."""
    text = build_app().generate_docs(output_format="markdown")
    _, _, text = text.partition("## Table of Contents")
    _, _, text = text.partition("\n\n")  # the list of links
    first, *others = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return "".join([*others, first])  # what completes commands comes last


def kinds(base: type[BaseException]) -> list[type[BaseException]]:
    """Return the public classes of errors below one, by name."""
    public = [value for name, value in vars(errors).items() if isinstance(value, type) and not name.startswith("_")]
    found = [kind for kind in public if issubclass(kind, base) and kind.__module__ == errors.__name__]
    return sorted(found, key=lambda kind: kind.__name__)


def of_errors() -> str:
    """Return the documentation of all errors and warnings, as Markdown that asks autodoc for each."""
    warnings = kinds(errors.OmeZarrWarning)
    faults = [kind for kind in kinds(Exception) if kind not in warnings]
    parts = []
    for title, found in (("Errors", faults), ("Warnings", warnings)):
        asked = "\n".join(f".. autoexception:: {kind.__name__}\n   :show-inheritance:\n" for kind in found)
        parts.append(f"## {title}\n\n```{{eval-rst}}\n.. currentmodule:: {errors.__name__}\n\n{asked}```\n")
    return "\n".join(parts)


def readers() -> str:
    """Return the table of what reads image files, as Markdown."""
    of_zarr = (
        "Zarr, xarray's Zarr, OME-Zarr of any version: folders, URLs, `.zarr`, `.ozx`",
        "URLs, `xomezarr[remote]`",
        "by chunks",
    )
    rows = [
        (f"{reader.name}, {', '.join(f'`{suffix}`' for suffix in reader.suffixes)}", reader.needs, reader.how)
        for reader in (*READERS, BY_BIOIO)
    ]
    lines = [("file", "needs", "how pixels are read"), ("---",) * 3, *rows[:-1], of_zarr, rows[-1]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


SKIPS = re.compile(r"(pytest\.mark|unittest|pytest)\.(skip|xfail)\b|pytest\.mark\.skipif\((True|1)\b")
"""Marks and calls by which a test proves nothing, wherever it runs."""


def tests() -> Iterator[tuple[Path, str]]:
    """Yield the file and the name of each test, but for those that are always skipped, or are to fail."""
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        statements = ast.parse(file.read_text(encoding="utf-8")).body
        if any(isinstance(one, ast.Expr | ast.Assign) and SKIPS.search(ast.unparse(one)) for one in statements):
            continue
        for statement in statements:
            if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test_") and is_run(statement):
                yield file, statement.name


def is_run(test: ast.FunctionDef) -> bool:
    """Whether a test is run somewhere: none of its marks, and none of its own statements, skips it always."""
    said = [*test.decorator_list, *(one for one in test.body if isinstance(one, ast.Expr))]
    # parametrize may skip single sets, which leaves others
    return not any(SKIPS.match(ast.unparse(one)) for one in said)


def check_proofs(page: str) -> None:
    """Make sure that the tests that the page on contracts names are there, and are run.

    Raises
    ------
    ValueError
        If one is not.
    """
    known = {f"tests/{file.name}::{name}" for file, name in tests()}
    named = re.findall(r"`(tests/\w+\.py::\w+)`", page)
    if missing := [name for name in named if name not in known]:
        raise ValueError(
            f"docs/contracts.md names {', '.join(missing)}: there is no such test, or it is always skipped; "
            "name one that is run"
        )
    bare = [contract for contract in re.findall(r"^## (C\d) ", page, flags=re.MULTILINE) if contract not in proofs()]
    if bare:
        raise ValueError(f"no test of {', '.join(bare)} is run; name one test_{bare[0].lower()}_…")


def proofs() -> Mapping[str, str]:
    """Return, by contract, all tests that bear its number, as Markdown: folded, by file."""
    found: dict[str, dict[str, list[str]]] = {}
    for file, name in tests():
        if named := re.match(r"test_(c\d)_(.*)", name):
            found.setdefault(named[1].upper(), {}).setdefault(file.name, []).append(named[2].replace("_", " "))
    return {contract: folded(contract, of_files) for contract, of_files in found.items()}


def folded(contract: str, of_files: Mapping[str, list[str]]) -> str:
    """Return the tests of a contract as a list that is shown when it is asked for."""
    count = sum(map(len, of_files.values()))
    lines = "\n".join(
        f"<dt><code>tests/{file}</code></dt><dd>{'; '.join(names)}</dd>" for file, names in of_files.items()
    )
    return (
        f"<details><summary>All {count} tests of {contract}, in {len(of_files)} files</summary>\n"
        f"<dl>\n{lines}\n</dl>\n</details>\n"
    )


def bring_notebooks(folder: Path) -> None:
    """Copy the notebooks, with what they showed when they were last run; one that shows nothing is a fault."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if not any(cell.get("outputs") for cell in cells):
            raise ValueError(f"{notebook.name} has no outputs: run it, and keep them")
        shutil.copyfile(notebook, folder / notebook.name)


def make(folder: Path) -> None:
    """Write all of it into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "api", ignore_errors=True)  # pages of what is no longer there
    (folder / "cli.md").write_text(commands(), encoding="utf-8")
    (folder / "readers.md").write_text(readers(), encoding="utf-8")
    (folder / "errors.md").write_text(of_errors(), encoding="utf-8")
    check_proofs((ROOT / "docs" / "contracts.md").read_text(encoding="utf-8"))
    for contract, text in proofs().items():
        (folder / f"proofs-{contract.lower()}.md").write_text(text, encoding="utf-8")
    metadata.make(folder)
    bring_notebooks(folder / "notebooks")
