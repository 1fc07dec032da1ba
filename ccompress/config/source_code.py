"""The source code of a user's own modules, as part of a run's identity.

`PROTOCOL` stands for the code of `ccompress`. A user's class has no such number: where `_target_`
names a class outside `ccompress`, the run depends on the SHA-256 of its source.
"""

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


@functools.cache  # a sweep asks at each run, and all its runs use the code that was first imported
def source_sha256(module: str) -> str | None:
    """SHA-256 over the source of a module and of the modules that it imports from its own package.

    The modules are found by the `import` statements anywhere in the source, and by those of the
    modules that they name in turn; each one's `__init__.py` counts too. A module outside any
    package counts with the modules in its own folder that it imports. Modules of other packages,
    and files that are read as data, do not count.

    Returns:
        None for a module of `ccompress` or of Python, and for one without a Python source.
    """
    top = module.partition(".")[0]
    if top == "ccompress" or top in sys.stdlib_module_names:
        return None
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    is_package = spec.submodule_search_locations is not None
    locations = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    roots = [place.parent for place in locations]
    sources: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        beside = (roots[0] / f"{name}.py").is_file()
        together = name.partition(".")[0] == top if is_package else beside
        if name in sources or not together or (path := _file(name, roots)) is None:
            continue
        sources[name] = path.read_bytes()
        waiting.append(name.rpartition(".")[0])
        waiting += _imports(sources[name], name, is_package=path.stem == "__init__")
    parts = (f"{name} {hashlib.sha256(sources[name]).hexdigest()}\n" for name in sorted(sources))
    return hashlib.sha256("".join(parts).encode()).hexdigest() if sources else None


def _file(name: str, roots: Sequence[Path]) -> Path | None:
    """The source of the module `name` below one of `roots`; nothing is imported to find it."""
    for root in roots:
        place = root.joinpath(*name.split("."))
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
    return None


def _imports(source: bytes, name: str, *, is_package: bool) -> Iterator[str]:
    """The dotted names that the source of the module `name` imports: modules, and names in them."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
