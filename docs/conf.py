"""Sphinx's configuration. What follows from the code is generated before the pages are read."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import chandir  # noqa: E402

project = "chandir"
author = copyright = "The chandir authors"
version = release = chandir.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"chandir {release}"
html_show_sphinx = False
exclude_patterns = ["build"]
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"


def setup(app: object) -> None:
    """Write the generated pages and figures."""
    import generate

    del app
    generate.write(HERE / "generated")
