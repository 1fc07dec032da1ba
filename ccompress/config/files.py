"""The YAML files of the configuration: where they are, and which options they give."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# Inside the package where it is installed, beside it in a clone.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"


def options(group: str) -> list[str]:
    """The options of a group, or the names of the experiments, by alphabet."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
