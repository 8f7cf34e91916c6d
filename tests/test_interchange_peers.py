"""Images as other libraries have them, in these libraries: each says where the pixels lie that it was given.

Each script is a module of tests that runs in an environment of its own, with the library and this checkout in it.
"""

from __future__ import annotations

import pytest
from asking import SCRIPTS, failure, run_script

pytestmark = [pytest.mark.peers, pytest.mark.xdist_group("peers")]

LIBRARIES = ("multiscale_spatial_image", "napari", "ngff_zarr", "spatialdata")


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_has_the_pixels_where_they_lie(library: str) -> None:
    script = SCRIPTS / f"interchange_{library}.py"
    answer = run_script(script)
    assert not answer.returncode, failure(script.name, answer)
    assert " passed" in answer.stdout


def test_every_script_is_run() -> None:
    assert {f"interchange_{library}.py" for library in LIBRARIES} == {
        path.name for path in SCRIPTS.glob("interchange_*.py")
    }
