"""The memory that a process may use, as its container or its job of a queue is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from xomezarr import resources
from xomezarr.resources import machine_memory

UNLIMITED = str(2**63 - 4096)


@pytest.mark.parametrize(
    ("own", "files", "memory"),
    [
        pytest.param("0::/", {"memory.max": "3000"}, 3000, id="a container"),
        pytest.param("0::/", {"memory.max": "max"}, None, id="a container without a limit"),
        pytest.param(
            "0::/slurm/job_7/step_0",
            {"slurm/memory.max": "9000", "slurm/job_7/memory.max": "5000", "slurm/job_7/step_0/memory.max": "max"},
            5000,
            id="a job",
        ),
        pytest.param(
            "9:name=systemd:/\n4:cpu,memory:/slurm/job_7\n2:cpuset:/\n0::/",
            {"memory/memory.limit_in_bytes": UNLIMITED, "memory/slurm/job_7/memory.limit_in_bytes": "4000"},
            4000,
            id="a job of version 1",
        ),
        pytest.param(
            "4:memory:/docker/0123abcd", {"memory/memory.limit_in_bytes": "2000"}, 2000, id="groups around are not seen"
        ),
        pytest.param("0::/a:b", {"a:b/memory.max": "1000"}, 1000, id="a colon in the name"),
        pytest.param(None, {}, None, id="another system"),
    ],
)
def test_the_limits_of_containers_and_jobs_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None, files: dict[str, str], memory: int | None
) -> None:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    if own is not None:
        (tmp_path / "own").write_text(f"{own}\n")
    monkeypatch.setattr(resources, "CONTROL_GROUPS", root)
    monkeypatch.setattr(resources, "OWN_GROUPS", tmp_path / "own")
    found = machine_memory.__wrapped__()  # which does not keep the answer
    if memory is None:
        assert found >= 2**30, "all of the machine"
    else:
        assert found == memory
