"""The YAML files of the configuration: where they are and which options they define."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# An installed package contains the folder; in a clone it is beside the package.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"


def options(group: str) -> list[str]:
    """The options of a group (of `experiment`, the experiments), in alphabetical order."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
