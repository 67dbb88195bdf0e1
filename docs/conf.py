"""Sphinx configuration; the pages on the specification and the command line are generated from the code."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402  (found through the path set above)

import aiida_haml  # noqa: E402  (kept beside it)

project = "aiida-haml"
author = "The aiida-haml authors"
version = release = aiida_haml.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "aiida-haml"

napoleon_google_docstring = False
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # types stand in the docstrings, with shapes and units
autodoc_inherit_docstrings = False
suppress_warnings = ["ref.python"]

generate.write_pages(HERE / "reference" / "generated")
