"""Suggests what an unknown key, or a value that cannot be read, may have meant."""

import re
from collections import defaultdict
from collections.abc import Iterable

from omegaconf import OmegaConf

from ccompress.config import files
from ccompress.config.schema import GROUPS, keys
from ccompress.errors import closest

# The names of these options in other programs.
_LEARNING_RATE = ("lr", "learning_rate", "max_lr", "base_lr", "step_lr")
_OPTIMIZER = ("optimizer", "optim", "weight_decay", "momentum", "betas", "beta1", "beta2", "eps")


def hint(key: str, known: Iterable[str] = ()) -> str:
    """A suggestion in brackets after a space, or "" if there is none.

    Args:
        key: An unknown key, such as `network.hiden`.
        known: The names in its section or group, such as `hidden`, if the caller knows them.
    """
    suggestion = _suggestion(key, known)
    return f" ({suggestion})" if suggestion else ""


def _suggestion(key: str, known: Iterable[str]) -> str:
    group, _, name = key.rpartition(".")
    words = key.lower().replace("-", "_").split(".")
    if words[-1] in _LEARNING_RATE:
        return "the learning rate is schedule.upper"
    if any(word in _OPTIMIZER for word in words):
        return (
            "optimizer=NAME chooses the optimizer; of its options only the learning rate can be "
            "chosen, schedule.upper"
        )
    if near := closest(name, known):
        return f"did you mean {f'{group}.{near}' if group else near}?"
    choices = _choices()
    if key in choices:
        owners = ", ".join(f"{group}={choice}" for choice in choices[key])
        return f"it is an option of {owners}, not of what is chosen"
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for each in (*keys(), *choices):
        by_name[each.rpartition(".")[2]].append(each)
    # Look in the group first. Compare names without the group, which all keys of the group share.
    within = [each for each, owners in by_name.items() if f"{group}.{each}" in owners]
    if near := closest(name, within):
        return f"did you mean {group}.{near}?"
    elsewhere = name if within and name in by_name else closest(name, () if within else by_name)
    return f"did you mean {by_name[elsewhere][0]}?" if elsewhere else ""


def of_value(key: str, value: object) -> str:
    """What a value of the option `key` may have meant, in brackets after a blank, or "".

    It knows other ways to write numbers: 90%, 9/10, 0,9, 10.0, and 1-5 for several of them.
    """
    text = str(value).strip()
    meant = ""
    if percent := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text):
        meant = f"{float(percent[1]) / 100:g}"
    elif (fraction := re.fullmatch(r"(\d+)/(\d+)", text)) and int(fraction[2]):
        meant = f"{int(fraction[1]) / int(fraction[2]):g}"
    elif comma := re.fullmatch(r"0,(\d+)", text):
        meant = f"0.{comma[1]}"
    elif whole := re.fullmatch(r"(\d+)\.0", text):
        meant = whole[1]
    elif ends := re.fullmatch(r"(\d+)(?:-|:|\.\.+)(\d+)", text):
        return f" (did you mean -m and {key}=range({ends[1]},{int(ends[2]) + 1})?)"
    return f" (did you mean {key}={meant}?)" if meant else ""


def _choices() -> dict[str, list[str]]:
    """The key of each option -> the choices of its group that have this option."""
    choices: defaultdict[str, list[str]] = defaultdict(list)
    for group in GROUPS:
        for choice in files.options(group):
            options = OmegaConf.load(files.CONF / group / f"{choice}.yaml")
            for option in map(str, options):
                if option not in ("_target_", "defaults"):
                    choices[f"{group}.{option}"].append(choice)
    return dict(choices)
