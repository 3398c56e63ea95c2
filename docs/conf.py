"""How Sphinx builds the site: ``make docs``. Nothing is fetched; every warning is an error."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

import anemone_docs  # noqa: E402

import anemone_lib  # noqa: E402

project = "Anemone"
author = copyright = "The Anemone developers"
version = release = anemone_lib.__version__

extensions = [
    "anemone_docs",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_ext", "out"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
# `detect` in a docstring links to the function where there is one, and stays a word where there is none.
default_role = "autolink"

# ---------------------------------------------------------------- the package's docstrings
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the types, with shapes and units, are in the docstrings
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL07", "PR02"}  # sections in numpydoc's order; no parameter that does not exist
numpydoc_validation_exclude = {r"\.write_recording$"}  # its settings are keywords that it passes on

# ---------------------------------------------------------------- Markdown and notebooks
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3
myst_substitutions = anemone_docs.describe_quality()
# ANEMONE_DOCS_NOTEBOOKS=off shows the notebooks as they are stored: a build of seconds while one writes.
nb_execution_mode = "off" if os.environ.get("ANEMONE_DOCS_NOTEBOOKS") == "off" else "cache"
# What a notebook shows depends on the package as well as on its cells, so each version of the code has its own cache.
nb_execution_cache_path = str(DOCS.parent / "out" / "docs" / "cache" / anemone_lib.code_sha256()[:12])
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress and notices of libraries
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}  # widgets need a kernel; the pages say what they would show, and load nothing from elsewhere

# ---------------------------------------------------------------- how it looks
html_theme = "pydata_sphinx_theme"
html_title = "Anemone"
html_static_path = ["_static"]
html_css_files = ["anemone.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
}
html_sidebars = {"index": [], "start": [], "changelog": []}
