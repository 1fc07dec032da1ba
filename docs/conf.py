"""Sphinx's settings; the pages are made by scripts/docs_pages.py, and scripts/docs builds them."""

from importlib import metadata

project = "ccompress"
author = "The ccompress developers"
release = metadata.version("ccompress")
html_title = f"{project} {release}"
html_theme = "furo"
html_show_copyright = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"  # docstrings quote code as Markdown does
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Several classes have a field called `text`; Sphinx would link each mention to one of them.
suppress_warnings = ["ref.python"]
