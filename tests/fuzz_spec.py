"""What reads OME-Zarr's JSON, given any bytes, by a fuzzer that goes where the code has not been: Atheris.

    uv run --all-extras --group test --with atheris python tests/fuzz_spec.py --minutes 10 ../shared/conformance

It begins with the JSON files in the folders that are named, and with metadata of every version; what it finds new is
kept in no file. It ends with the input that raised another error than ours, or took ten seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["xomezarr.spec", "xomezarr.checks", "xomezarr.sidecar", "xomezarr.omexml"]):
    import xomezarr.checks.images
    import xomezarr.checks.labels
    import xomezarr.checks.plates
    import xomezarr.omexml
    import xomezarr.sidecar
    import xomezarr.spec.form
    import xomezarr.spec.groups
    import xomezarr.spec.listings
    import xomezarr.spec.multiscales
    import xomezarr.spec.scenes
    import xomezarr.spec.systems
    import xomezarr.spec.transforms
    import xomezarr.spec.values  # noqa: F401
    from xomezarr import sidecar, spec
    from xomezarr.errors import OmeZarrError
    from xomezarr.labels import colors_of, properties_of

SECONDS = 10
"""What no document may take."""

LONGEST = 20_000
"""Bytes of a document; flaws need few."""

PARSERS: tuple[Callable[[Any], object], ...] = (
    spec.parse,
    spec.parse_plate,
    spec.parse_well,
    spec.parse_scene,
    spec.parse_labels,
    spec.parse_series,
)


def one_input(content: bytes) -> None:
    """Read a document in all ways."""
    try:
        attrs = json.loads(content)
    except (ValueError, RecursionError):
        return
    if not isinstance(attrs, dict):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spec.findings(attrs)
        version = spec.detect(attrs)
        kinds = spec.kinds(attrs)
        list(spec.infinite_numbers(attrs))
        for parse in PARSERS:
            try:
                read = parse(attrs)
            except OmeZarrError:
                continue
            if parse is spec.parse:
                _use(read, attrs)
        for wanted in spec.VERSIONS:
            try:
                json.dumps(spec.restated(attrs, wanted, placed=lambda image: image, above=None))
            except OmeZarrError:
                continue
        assert version is None or isinstance(version, str)
        assert isinstance(kinds, frozenset)
        for one in found:
            str(one)


def _use(image: Any, attrs: dict[str, Any]) -> None:
    """Write what was read, in every version, and compare the two that say the same."""
    sizes = dict.fromkeys(image.multiscale.dims, 4)
    if image.label is not None:
        colors_of(image.label)
        properties_of(image.label, sidecar.properties_in(attrs))
    sidecar.growing(attrs.get(sidecar.KEY))
    sidecar.load(attrs.get(sidecar.KEY), image, sizes, lambda path, dtype, shape: None)
    for version in spec.VERSIONS:
        try:
            dumped = spec.dump(image, version)
        except OmeZarrError:
            continue
        json.dumps(dumped)


def seeds(folders: list[Path]) -> Iterator[bytes]:
    """Yield documents that are read, without spaces."""
    from fuzzing import DOCUMENTS, Templates

    with tempfile.TemporaryDirectory() as folder:
        Templates(Path(folder))
        files = [file for file in Path(folder).rglob("*") if file.name in DOCUMENTS]
        files += [file for one in folders for file in one.rglob("*.json")]
        for file in files:
            try:
                document = json.loads(file.read_bytes())
            except ValueError:
                continue
            # suites hold the attributes in what is said of a test
            for inner in (document, *(document.values() if isinstance(document, dict) else ())):
                if isinstance(inner, dict):
                    yield json.dumps(inner, separators=(",", ":")).encode()


def main() -> None:
    """Fuzz for some minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("folders", nargs="*", type=Path)
    asked = parser.parse_args()
    corpus = Path(tempfile.mkdtemp())
    for number, content in enumerate(dict.fromkeys(seeds(asked.folders))):
        if len(content) <= LONGEST:
            (corpus / str(number)).write_bytes(content)
    words = corpus.with_suffix(".dict")
    keys = sorted({key for file in corpus.iterdir() for key in _words(json.loads(file.read_bytes()))})
    words.write_text("".join(f'"\\"{key}\\""\n' for key in keys))
    options = [
        f"-max_total_time={int(60 * asked.minutes)}",
        f"-timeout={SECONDS}",
        f"-max_len={LONGEST}",
        f"-dict={words}",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input)
    atheris.Fuzz()


def _words(node: Any) -> Iterator[str]:
    """Yield the keys and short texts of a document, of plain letters."""
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _words(part)
    said = [*node] if isinstance(node, dict) else [node] if isinstance(node, str) else []
    yield from (
        word for word in said if 0 < len(word) < 40 and word.isascii() and word.replace("-", "_").isidentifier()
    )


if __name__ == "__main__":
    main()
