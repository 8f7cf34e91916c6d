"""Sphinx: the site is built with ``sphinx-build -W docs docs/_build/html``."""

import importlib.metadata

project = "xomezarr"
author = "the xomezarr developers"
copyright = author
release = importlib.metadata.version("xomezarr")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "xomezarr"
html_show_sourcelink = False
