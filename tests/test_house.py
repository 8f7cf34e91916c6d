"""The house in order: what importing costs, which way imports point, what is public and documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import xomezarr

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "xomezarr"

HEAVY = (
    "zarr.core",
    "matplotlib",
    "rich",
    "pint",
    "skimage",
    "scipy",
    "ome_zarr_models",
    "ome_types",
    "dask.array",
    "tifffile",
    "cyclopts",
)
"""Each costs tens to hundreds of milliseconds, and most sessions need none of them."""

MODULES = ["xomezarr", *(found.name for found in pkgutil.walk_packages(xomezarr.__path__, "xomezarr."))]


def in_a_new_interpreter(code: str) -> Any:
    """Run `code` in a new interpreter and return what it printed, as JSON."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_c9_importing_loads_nothing_heavy() -> None:
    loaded = in_a_new_interpreter("import json, sys, xomezarr; print(json.dumps(sorted(sys.modules)))")
    assert not set(HEAVY) & set(loaded)


def test_c9_opening_with_xarray_finds_the_engine_without_importing_it_all() -> None:
    code = f"""
import json, sys, xarray
engines = xarray.backends.list_engines()
print(json.dumps(["omezarr" in engines, sorted(set({HEAVY!r}) & set(sys.modules))]))
"""
    listed, heavy = in_a_new_interpreter(code)
    assert listed
    # xarray's own engines may load dask.array; ours must not add to what they load
    assert not set(heavy) - {"zarr.core", "dask.array"}


def test_imports_point_only_downward() -> None:
    lint = shutil.which("lint-imports", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert lint is not None, "import-linter is not installed: run 'uv sync --group lint'"
    answer = subprocess.run([lint, "--no-cache"], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_module_has_its_floor() -> None:
    contract = (ROOT / "pyproject.toml").read_text().split("[tool.importlinter]", 1)[1]
    placed = set(re.findall(r"xomezarr\.(\w+)", contract))
    built = {name.split(".")[1] for name in MODULES if "." in name} - {"__main__"}
    assert built <= placed


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert inspect.getdoc(module), f"{name} has no docstring"
    undocumented = [
        f"{name}.{public}"
        for public in getattr(module, "__all__", [])
        if callable(getattr(module, public)) and not has_docstring(getattr(module, public))
    ]
    undocumented += [
        f"{name}.{public}.{attribute}"
        for public in getattr(module, "__all__", [])
        if inspect.isclass(value := getattr(module, public)) and value.__module__ == name
        for attribute, member in vars(value).items()
        if not attribute.startswith("_") and is_method(member) and not has_docstring(member)
        if not says_its_base(value, attribute)
    ]
    assert not undocumented


def says_its_base(value: type, attribute: str) -> bool:
    """Tell whether a class of ours, from which `value` is derived, documents the attribute for all that are."""
    bases = [vars(base) for base in value.__mro__[1:] if base.__module__.startswith("xomezarr")]
    return any(attribute in base and has_docstring(base[attribute]) for base in bases)


def is_method(member: object) -> bool:
    return inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)


def has_docstring(thing: Any) -> bool:
    """Tell whether `thing` has a docstring of its own; type aliases and dataclasses' generated ones do not count."""
    doc = getattr(thing, "__doc__", None)
    if not inspect.isclass(thing) and not inspect.isroutine(thing) and not is_method(thing):
        return True  # a typing construct or a callable constant: its module documents it
    return bool(doc and doc.strip()) and not (inspect.isclass(thing) and doc.startswith(f"{thing.__name__}("))


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_true(name: str) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None)
    if public is None:
        assert not own_public_names(module), f"{name} has public names but no __all__"
        return
    assert len(set(public)) == len(public), f"{name}.__all__ repeats itself"
    assert sorted(public, key=as_ruff_sorts) == list(public), f"{name}.__all__ is not sorted"
    assert not [entry for entry in public if not hasattr(module, entry)], f"{name}.__all__ names what is not there"


def own_public_names(module: ModuleType) -> list[str]:
    """Return the functions and classes that `module` defines itself under a public name."""
    source = inspect.getsource(module)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [n.name for n in ast.parse(source).body if isinstance(n, kinds) and not n.name.startswith("_")]


@pytest.mark.parametrize(("what", "home"), [("UNREADABLE", "xomezarr.errors"), ("DOCUMENTS", "xomezarr.store.nodes")])
def test_what_unreadable_metadata_raise_and_where_they_lie_is_said_once(what: str, home: str) -> None:
    kinds = (ast.Assign, ast.AnnAssign)
    homes = {
        name
        for name in MODULES
        for statement in ast.parse(inspect.getsource(importlib.import_module(name))).body
        if isinstance(statement, kinds)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name) and what in target.id
    }
    assert homes == {home}


def as_ruff_sorts(name: str) -> tuple[int, list[Any]]:
    """Return the key of an isort-style order: constants, classes, then the rest; numbers by value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


REQUIREMENT = re.compile(r'^\s*"(?P<name>[A-Za-z0-9_.\-\[\],]+)\s*(?:[<>=!~].*)?",?\s*(?P<comment>#.*)?$')


def requirements_without_reason(project_file: str) -> list[str]:
    """Return the requirements of a project file that have no comment above or behind them."""
    tables = {"[project]", "[project.optional-dependencies]", "[dependency-groups]"}
    table, inside, above, unexplained = "", False, "", []
    for line in project_file.splitlines():
        if re.match(r"^\[[^\]]+\]\s*$", line):
            table, inside = line.strip(), False
        elif table in tables and re.match(r"^[\w-]+ = \[", line):
            inside = table != "[project]" or line.startswith("dependencies")
            if inside and line.rstrip().endswith("]"):
                inside = False
                if "include-group" not in line:
                    unexplained.append(line.strip())  # a list on one line leaves no room for reasons
        elif inside and line.startswith("]"):
            inside = False
        elif inside and (found := REQUIREMENT.match(line)) and not found["comment"] and not above.startswith("#"):
            unexplained.append(found["name"])
        above = line.strip()
    return unexplained


def test_every_dependency_says_why() -> None:
    assert not requirements_without_reason((ROOT / "pyproject.toml").read_text())


def test_a_dependency_without_reason_is_noticed() -> None:
    project_file = '[project]\ndependencies = [\n    # why\n    "a>=1",\n    "b>=2",\n    "c",  # why\n]\n'
    assert requirements_without_reason(project_file) == ["b"]
