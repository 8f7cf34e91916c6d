"""Sphinx: the site is built with ``sphinx-build -W docs docs/_build/html``."""

import importlib.metadata
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

sys.path.insert(0, str(Path(__file__).parent))

import appearance
import gallery
import screenshots

project = "xomezarr"
author = "the xomezarr developers"
copyright = author
release = importlib.metadata.version("xomezarr")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
# what is generated is included in pages, and none by itself
exclude_patterns = ["_build", "_generated"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "xomezarr"
html_show_sourcelink = False


def draw_gallery(app: Sphinx) -> None:
    """Make the pictures and tables that the page on methods includes; every method has its section there."""
    folder = Path(app.srcdir)
    if missing := gallery.missing_sections(folder / "methods.md"):
        raise ExtensionError(f"docs/methods.md has no section for {', '.join(missing)}; add: ### `{missing[0]}`")
    gallery.make(folder / "_generated")
    appearance.make(folder / "_generated")
    screenshots.make(folder / "_generated")


def setup(app: Sphinx) -> None:
    """Make the generated parts before any page is read."""
    app.connect("builder-inited", draw_gallery)
