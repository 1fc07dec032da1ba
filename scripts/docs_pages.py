"""Write the pages that Sphinx builds, from what stands elsewhere, so that nothing is said twice.

The README gives the first page and a page for each of its sections; `--help` the page on the
command line; the docstrings and `conf/method` the cards of the methods; the rooms of the package
the pages of the API; the folders of `results/` a page each.
"""

import contextlib
import inspect
import io
import posixpath
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from omegaconf import OmegaConf

import ccompress
from ccompress import cli
from ccompress.locate import locate, path_of

ROOT = Path(__file__).parents[1]
# A link of Markdown: its text and its target. A picture is none.
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def main(out: Path) -> None:
    """Write all pages into the folder `out`, which is made anew."""
    shutil.rmtree(out, ignore_errors=True)
    (_, first), *sections = readme()
    pages = {f"{slug(title)}.md": text for title, text in sections}
    guide = list(pages)
    pages |= {"command_line.md": command_line(), "methods.md": methods()}
    rooms = {f"api/{path.parent.name}.md": room(path.parent) for path in packages()}
    pages |= rooms | {"api.md": names() + contents(rooms)}
    reports = sorted((ROOT / "results").glob("*/README.md"))
    for path in reports:
        copy_figures(path.parent, out)
        pages |= report(path)
    development = ("CONTRIBUTING.md", "CHANGELOG.md")
    pages |= {name: read(ROOT / name) for name in development}
    pages["index.md"] = first + "".join(
        contents(listed, ":hidden:", f":caption: {caption}")
        for caption, listed in {
            "Guide": guide,
            "Reference": ("command_line.md", "methods.md", "api.md"),
            "Results": [str(path.relative_to(ROOT)) for path in reports],
            "Development": development,
        }.items()
    )
    for name, text in pages.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(linked(text, name, pages, out), encoding="utf-8")


def read(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


def readme() -> list[tuple[str, str]]:
    """The title and the text of the README's first screen and of each of its sections."""
    first, *sections = re.split(r"^## (?=\S)", read(ROOT / "README.md"), flags=re.MULTILINE)
    return [("", first), *((text.partition("\n")[0], f"# {text}") for text in sections)]


def slug(title: str) -> str:
    """A title as GitHub's links to headings write it."""
    return re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))


def linked(text: str, name: str, pages: Iterable[str], out: Path) -> str:
    """The text with links that lead to pages; what is in the repository alone is no link."""

    def link(match: re.Match[str]) -> str:
        label, target = match.groups()
        if target.startswith("#") and f"{target[1:]}.md" in pages:
            return f"[{label}]({target[1:]}.md)"
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if path not in pages and not (out / path).is_file() and (ROOT / path).exists():
            return label
        return match[0]

    return LINK.sub(link, text)


def copy_figures(folder: Path, out: Path) -> None:
    """Copy the figures and tables of a folder of results, but not its rows."""
    for kind in ("*.png", "*.svg", "tables/*.csv"):
        for path in folder.rglob(kind):
            target = out / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def report(page: Path) -> dict[str, str]:
    """The page of a folder of results, and the other pages of that folder under it."""
    others = sorted(set(page.parent.glob("*.md")) - {page})
    texts = {str(path.relative_to(ROOT)): read(path) for path in (page, *others)}
    if others:
        texts[str(page.relative_to(ROOT))] += contents([path.name for path in others], ":hidden:")
    return texts


def contents(pages: Iterable[str], *options: str) -> str:
    """A table of contents, which the side shows too."""
    return "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])


def block(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```\n"


def autodoc(directive: str, *options: str) -> str:
    """A directive that Sphinx fills from docstrings."""
    return "\n".join(["```{eval-rst}", f".. {directive}", *(f"   {o}" for o in options), "```\n"])


def command_line() -> str:
    """What `--help` says, of the command itself and of each verb."""
    parts = ["# Command line\n", block(printed("--help"))]
    for verb in sorted(cli.VERBS):
        parts += [f"## {verb}\n", block(printed(verb, "--help"))]
    return "\n".join(parts)


def printed(*arguments: str) -> str:
    """What the command prints for these arguments."""
    sys.argv[:] = ["ccompress"]
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        cli.command(list(arguments))
    return shown.getvalue()


def methods() -> str:
    """A card for each `method=`: the docstring of its class, and its options."""
    parts = ["# Methods\n"]
    for path in sorted((ROOT / "conf" / "method").glob("*.yaml")):
        kind = locate(OmegaConf.load(path)._target_)
        parts += [f"## {path.stem}\n"]
        parts += [autodoc(f"autoclass:: {path_of(kind)}", ":no-members:", ":no-index:")]
        parts += [f"`conf/method/{path.name}`:\n", block(read(path), "yaml")]
    return "\n".join(parts)


def names() -> str:
    """The names that `import ccompress` offers, and what each is."""
    parts = ["# API\n", autodoc("automodule:: ccompress", ":no-members:")]
    for name in ccompress.__all__:
        thing = getattr(ccompress, name)
        says = (inspect.getdoc(thing) or "").partition("\n")[0]
        parts += [f"- {{py:obj}}`ccompress.{name} <{path_of(thing)}>`: {says}"]
    return "\n".join([*parts, "", "The rooms of the package:\n"])


def packages() -> list[Path]:
    """The `__init__.py` of each room of the package."""
    return sorted((ROOT / "ccompress").glob("*/__init__.py"))


def room(folder: Path) -> str:
    """The page of a room: what it is for, and each of its modules."""
    files = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    parts = [f"# {folder.name}\n", autodoc(f"automodule:: ccompress.{folder.name}", ":no-members:")]
    for module in modules:
        parts += [f"## {module.removeprefix('ccompress.')}\n", autodoc(f"automodule:: {module}")]
    return "\n".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
