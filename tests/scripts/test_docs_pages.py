"""The pages of scripts/docs contain all of the package, the README and the options."""

import sys

import docs_pages
import pytest

from ccompress.commands.verbs import VERBS


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Path -> text of each page."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scripts/docs_pages.py"])
        docs_pages.main(folder)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.md")}


def test_every_module_is_on_the_page_of_its_room(pages):
    for path in (docs_pages.ROOT / "ccompress").glob("*/**/*.py"):
        room, *rest = path.relative_to(docs_pages.ROOT / "ccompress").with_suffix("").parts
        if path.name == docs_pages.PROGRAM:
            continue  # export copies this script, which is no module of the API
        name = ".".join(["ccompress", room, *rest]).removesuffix(".__init__")
        if rest[-1] != "__init__" or len(rest) == 1:
            assert f".. automodule:: {name}\n" in pages[f"api/{room}.md"]


def test_every_method_has_a_card_with_its_options(pages):
    for path in (docs_pages.ROOT / "conf" / "method").glob("*.yaml"):
        assert f"## {path.stem}\n" in pages["methods.md"]
        assert path.read_text() in pages["methods.md"]
    assert ".. autoclass:: ccompress.methods.none.NoCompression" in pages["methods.md"]


def test_the_help_of_every_verb_is_on_a_page(pages):
    for verb in VERBS:
        assert f"usage: ccompress {verb} " in pages["command_line.md"]


def test_every_section_of_the_readme_is_a_page(pages):
    readme = (docs_pages.ROOT / "README.md").read_text()
    headings = [line.removeprefix("## ") for line in readme.splitlines() if line[:3] == "## "]
    for heading in headings:
        name = f"{docs_pages.slug(heading)}.md"
        assert pages[name].startswith(f"# {heading}\n")
        assert f"\n{name}\n" in pages["index.md"]


def test_links_lead_to_pages_or_are_plain_text(tmp_path):
    text = "[a](#your-own-data) [b](results/paper/README.md) [c](LICENSE) [d](https://e.f) ![g](h)"
    known = ["your-own-data.md", "results/paper/README.md"]
    assert docs_pages.linked(text, "index.md", known, tmp_path) == (
        "[a](your-own-data.md) [b](results/paper/README.md) c [d](https://e.f) ![g](h)"
    )
    above = "[b](../paper/README.md) [typo](../../nothing.md)"
    assert docs_pages.linked(above, "results/own/README.md", known, tmp_path) == above
