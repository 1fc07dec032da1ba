"""Sphinx's settings. scripts/docs_pages.py writes the pages, and scripts/docs builds them."""

from importlib import metadata

project = "ccompress"
author = "The ccompress developers"
release = metadata.version("ccompress")
html_title = f"{project} {release}"
html_theme = "furo"
html_show_copyright = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"  # our docstrings quote code with single backquotes, as Markdown does
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Several classes have a field called `text`, and Sphinx cannot decide which of them a link means.
suppress_warnings = ["ref.python"]
