"""Write the pages that Sphinx builds. All of their text has its source elsewhere.

The first page and a page per section come from the README, more of the guide from `docs/`. The
page on the command line comes from `--help`, the cards of the methods from their docstrings and
`conf/method`, and the pages of the API from the docstrings of each folder of the package. Each
folder of `results/` has a page.
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
from ccompress.commands.verbs import VERBS
from ccompress.locate import locate, path_of

ROOT = Path(__file__).parents[1]
# A program that `ccompress export` copies beside the model; it cannot be imported here.
PROGRAM = "onnx_predict.py"
# A Markdown link with its text and its target, but not a picture.
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def main(out: Path) -> None:
    """Write all pages into the folder `out`, after deleting its old contents."""
    shutil.rmtree(out, ignore_errors=True)
    (_, first), *sections = readme()
    pages = {f"{slug(title)}.md": text for title, text in sections}
    pages |= {
        str(path.relative_to(ROOT)): read(path) for path in sorted((ROOT / "docs").glob("*.md"))
    }
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
    """Title and text of each section of the README; the first screen has an empty title."""
    first, *sections = re.split(r"^## (?=\S)", read(ROOT / "README.md"), flags=re.MULTILINE)
    return [("", first), *((text.partition("\n")[0], f"# {text}") for text in sections)]


def slug(title: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))


def linked(text: str, name: str, pages: Iterable[str], out: Path) -> str:
    """The text of a page, with links to other pages adjusted.

    A link to a file that is in the repository but not in the documentation becomes plain text.

    Args:
        text: The page's text.
        name: The page's own path below `out`.
        pages: The paths of all pages.
        out: The folder of the pages.
    """

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
    """Copy the figures and tables of a results folder, but not its rows."""
    for kind in ("*.png", "*.svg", "tables/*.csv"):
        for path in folder.rglob(kind):
            target = out / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def report(page: Path) -> dict[str, str]:
    """The main page of a results folder, with that folder's other pages below it."""
    others = sorted(set(page.parent.glob("*.md")) - {page})
    texts = {str(path.relative_to(ROOT)): read(path) for path in (page, *others)}
    if others:
        texts[str(page.relative_to(ROOT))] += contents([path.name for path in others], ":hidden:")
    return texts


def contents(pages: Iterable[str], *options: str) -> str:
    """A table of contents, which also appears in the sidebar."""
    return "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])


def block(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```\n"


def autodoc(directive: str, *options: str) -> str:
    """A Sphinx directive whose text comes from docstrings."""
    return "\n".join(["```{eval-rst}", f".. {directive}", *(f"   {o}" for o in options), "```\n"])


def command_line() -> str:
    """The `--help` of the command and of each verb."""
    parts = ["# Command line\n", block(printed("--help"))]
    for verb in sorted(VERBS):
        parts += [f"## {verb}\n", block(printed(*verb.split(), "--help"))]
    return "\n".join(parts)


def printed(*arguments: str) -> str:
    """The text that the command prints for these arguments."""
    sys.argv[:] = ["ccompress"]
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        cli.command(list(arguments))
    return output.getvalue()


def methods() -> str:
    """A card for each `method=`: the docstring of its class and its options."""
    parts = ["# Methods\n"]
    for path in sorted((ROOT / "conf" / "method").glob("*.yaml")):
        kind = locate(OmegaConf.load(path)._target_)
        parts += [f"## {path.stem}\n"]
        parts += [autodoc(f"autoclass:: {path_of(kind)}", ":no-members:", ":no-index:")]
        parts += [f"`conf/method/{path.name}`:\n", block(read(path), "yaml")]
    return "\n".join(parts)


def names() -> str:
    """The public names of `ccompress`, each with the first line of its docstring."""
    parts = ["# API\n", autodoc("automodule:: ccompress", ":no-members:")]
    for name in ccompress.__all__:
        value = getattr(ccompress, name)
        summary = (inspect.getdoc(value) or "").partition("\n")[0]
        parts += [f"- {{py:obj}}`ccompress.{name} <{path_of(value)}>`: {summary}"]
    return "\n".join([*parts, "", "The folders of the package:\n"])


def packages() -> list[Path]:
    """The `__init__.py` of each folder of the package."""
    return sorted((ROOT / "ccompress").glob("*/__init__.py"))


def room(folder: Path) -> str:
    """The page of a folder of the package: its purpose and each of its modules."""
    others = ("__init__.py", PROGRAM)
    files = sorted(path for path in folder.rglob("*.py") if path.name not in others)
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    parts = [f"# {folder.name}\n", autodoc(f"automodule:: ccompress.{folder.name}", ":no-members:")]
    for module in modules:
        parts += [f"## {module.removeprefix('ccompress.')}\n", autodoc(f"automodule:: {module}")]
    return "\n".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
