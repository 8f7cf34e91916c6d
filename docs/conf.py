"""Sphinx: the site is built with ``sphinx-build -W docs docs/_build/html``, without a network."""

import importlib.metadata
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx_autosummary_accessors import templates_path as accessor_templates

sys.path.insert(0, str(Path(__file__).parent))

import appearance
import gallery
import reference
import screenshots

project = "xomezarr"
author = "the xomezarr developers"
copyright = author
release = importlib.metadata.version("xomezarr")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_autosummary_accessors",
]
templates_path = ["_templates", accessor_templates]
# the first is that of what autosummary writes
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
# parts that pages include are none themselves
exclude_patterns = ["_build", "_templates", "_generated/*.md", "**/.ipynb_checkpoints"]

myst_enable_extensions = ["attrs_block", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

# pages with code cells are run, each in a new folder; notebooks show what is stored in them: CI runs these by itself
nb_execution_mode = "force"
nb_execution_excludepatterns = ["_generated/notebooks/*"]
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True

autosummary_generate = True
# docstrings say what a parameter is, annotations its type
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
# single backquotes name something in Python
default_role = "py:obj"
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "xomezarr"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
}
html_sidebars = {"index": [], "tour": []}


def make_parts(app: Sphinx) -> None:
    """Make the pictures, tables and pages that others include; every method has its section on the page on methods."""
    folder = Path(app.srcdir)
    if missing := gallery.missing_sections(folder / "methods.md"):
        raise ExtensionError(f"docs/methods.md has no section for {', '.join(missing)}; add: ### `{missing[0]}`")
    gallery.make(folder / "_generated")
    appearance.make(folder / "_generated")
    screenshots.make(folder / "_generated")
    reference.make(folder / "_generated")


def setup(app: Sphinx) -> None:
    """Make the generated parts before any page is read, and before autosummary makes its own."""
    app.connect("builder-inited", make_parts, priority=100)
