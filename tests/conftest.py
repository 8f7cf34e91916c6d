"""Fixtures that every test file may use."""

from __future__ import annotations

import builtins
import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

collect_ignore = ["fuzz_spec.py"]
"""Needs Atheris, which is installed where it is run by itself; doctests are looked for in every file."""

if TYPE_CHECKING:
    from asking import Peers
    from s3 import Bucket

SHARED = Path(__file__).resolve().parents[2] / "shared"

settings.register_profile(
    "search", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("default", settings.get_profile("search"), derandomize=True)
settings.register_profile("few", settings.get_profile("default"), max_examples=10)
# the same examples each time, so that nobody's change is held up by another's fault; others are looked for by
# HYPOTHESIS_PROFILE=search
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every", type=int, default=1, metavar="N", help="run one in N cases of each test")
    parser.addoption("--whole", action="store_true", help="run all cases of tests that are marked as sweeps, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases of tests that have many, where these are not all asked for."""
    every, whole = config.getoption("every"), config.getoption("whole")
    seen: Counter[str] = Counter()
    kept, left = [], []
    for item in items:
        test = item.nodeid.partition("[")[0]
        sweep = item.get_closest_marker("sweep")
        one_in = max(every, 1 if whole or sweep is None else sweep.args[0])
        (kept if is_chosen(seen[test], one_in) else left).append(item)
        seen[test] += 1
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def is_chosen(number: int, one_in: int) -> bool:
    """Whether a case of a test is among one in so many, of which each has others of the parameters that change fastest.

    >>> [number for number in range(12) if is_chosen(number, 3)]
    [0, 5, 7, 11]
    """
    digits = 0
    while number and one_in > 1:
        number, digit = divmod(number, one_in)
        digits += digit
    return digits % one_in == 0


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with the official suites, which stands beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder 'shared' with the official suites is not beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def known_exceptions(shared: Path) -> dict[str, Any]:
    """Return the official cases whose label contradicts the text of their own specification."""
    exceptions: dict[str, Any] = json.loads((shared / "conformance" / "known_exceptions.json").read_text())
    return exceptions


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Peers:
    """Return what asks other libraries what they read in our stores, all of which are written here."""
    from asking import Peers

    return Peers(tmp_path_factory.mktemp("peers"))


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of an S3 server that runs in a process of its own."""
    pytest.importorskip("moto")
    from s3 import s3_server

    with s3_server(tmp_path_factory.mktemp("s3") / "log") as url:
        yield url


@pytest.fixture
def bucket(s3_url: str) -> Iterator[Bucket]:
    """Give a new bucket of that server, and a proxy before it that can do harm."""
    from s3 import Bucket, make_bucket, proxy

    name = f"images-{uuid.uuid4().hex}"
    make_bucket(s3_url, name)
    with proxy(s3_url) as between:
        yield Bucket(s3_url, name, between)


@pytest.fixture
def s3_of_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give what makes a URL that of the S3 server which the environment names."""
    from s3 import KEY, SECRET

    files = pytest.importorskip("s3fs").S3FileSystem

    def name(url: str) -> None:
        for variable, value in {
            "ACCESS_KEY_ID": KEY,
            "SECRET_ACCESS_KEY": SECRET,
            "ENDPOINT_URL": url,
            "DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(f"AWS_{variable}", value)
        # they look at the environment once in a process
        files.clear_instance_cache()

    yield name
    files.clear_instance_cache()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes a package one that is not installed."""
    original = builtins.__import__

    def make(package: str) -> None:
        def imported(name: str, *rest: Any, **options: Any) -> Any:
            if name.partition(".")[0] == package:
                raise ImportError(f"No module named {package!r}")
            return original(name, *rest, **options)

        monkeypatch.setattr(builtins, "__import__", imported)

    return make
