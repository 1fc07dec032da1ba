"""The source code of a user's own modules, as part of a run's identity.

`PROTOCOL` identifies the code of `ccompress`. A user's class has no such number. So if `_target_`
names a class outside `ccompress`, the SHA-256 of its source enters the identity.
"""

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


@functools.cache  # each run of a sweep asks, and all its runs use the code as first imported
def source_sha256(module: str) -> str | None:
    """SHA-256 over the source of a module and of the modules that it imports from its own package.

    The search follows every `import` statement in the source, then those in the modules that it
    imports, and so on. The `__init__.py` of each package counts too. For a module outside any
    package, the imported modules in its own folder count. Modules of other packages and files that
    are read as data do not count.

    Args:
        module: The dotted name of the module.

    Returns:
        The digest in hexadecimal digits; None for a module of `ccompress` or of Python's standard
        library, and for a module without Python source.
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
    """The source file of the module `name` below one of `roots`, found without importing it."""
    for root in roots:
        place = root.joinpath(*name.split("."))
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
    return None


def _imports(source: bytes, name: str, *, is_package: bool) -> Iterator[str]:
    """The dotted names of the modules, and of names in them, that a module's source imports."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
