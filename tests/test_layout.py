"""The layout of the package: the order of its folders, and that no import goes upwards."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ccompress"

# The modules and folders at the top of the package, from the highest to the lowest. Each may import
# those after it. `ccompress` is the package's list of public names.
ORDER = """
    ccompress cli commands report experiment baselines deployment config training
    networks methods library data schedules embeddings numerics
    installation streams machine cores storage locate errors
""".split()


def imports() -> dict[str, set[str]]:
    """Each module of the package -> the modules of the package that it imports anywhere."""
    files = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    imported = defaultdict(set)
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} has a relative import"
                # The imported name is a module, or a name in a module.
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                targets = [full if full in files else str(node.module) for full in names]
            else:
                continue
            imported[name] |= {target for target in targets if target in files} - {name}
    return imported


def module_name(path: Path) -> str:
    parts = ["ccompress", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else module


def test_every_module_and_folder_has_its_place_in_the_order():
    assert sorted(ORDER) == sorted({room(module_name(path)) for path in PACKAGE.rglob("*.py")})


def test_nothing_lower_imports_anything_higher():
    wrong = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        for target in targets
        if room(module) != room(target) and ORDER.index(room(module)) > ORDER.index(room(target))
    ]
    assert not wrong


def test_no_modules_import_each_other():
    assert list(TopologicalSorter(imports()).static_order())
