"""The options of a group: the keyword parameters, with types, of the class that its YAML names."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ccompress.config.hints import hint, of_value
from ccompress.errors import InputError
from ccompress.locate import locate


def parameters(target: Any) -> dict[str, tuple[Any, Any]]:
    """The options that a YAML file with this `_target_` may have: name -> (type, default).

    They are the keyword-only parameters of the class. A parameter without a default has `MISSING`.
    """
    signature = inspect.signature(target)
    hints = typing.get_type_hints(target.__init__)
    return {
        name: (
            hints.get(name, Any),
            dataclasses.MISSING if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def options_of(node: Any, group: str, name: str) -> dict[str, Any]:
    """The options of one group as plain values, their types checked against the group's class.

    Args:
        node: The group's node of the configuration.
        group: The group's name, such as `dataset`.
        name: The option chosen in the group, such as `sst2`.

    Raises:
        InputError: The class does not exist, or an option is unknown, missing or of a wrong type.
    """
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise InputError(f"{group}={name} has no _target_; its YAML names the class to build")
    target = located(str(node["_target_"]), group)
    try:
        known = parameters(target)
    except (NameError, TypeError, ValueError) as error:
        raise InputError(f"{group}._target_={node['_target_']} cannot be read: {error}") from error
    refuse_unknown(node, ["_target_", *known], group)
    for option, (_, default) in known.items():
        if default is dataclasses.MISSING and (
            option not in node or OmegaConf.is_missing(node, option)
        ):
            raise InputError(
                f"{group}.{option} is needed by {group}={name}: give {group}.{option}=…"
            )
    schema = dataclasses.make_dataclass(
        target.__name__,
        [(option, kind) for option, (kind, _) in known.items() if option in node],
    )
    options = {option: node[option] for option in known if option in node}
    checked = OmegaConf.to_container(merged(schema, OmegaConf.create(options), group), resolve=True)
    return {"_target_": str(node["_target_"]), **typing.cast(dict[str, Any], checked)}


def factory(options: Mapping[str, Any], group: str) -> functools.partial[Any]:
    """A function that takes the remaining arguments and builds the object.

    Args:
        options: The class as `_target_`, and its keyword arguments.
        group: The group's name, for error messages.
    """
    arguments = dict(options)
    return functools.partial(located(arguments.pop("_target_"), group), **arguments)


def build(options: Mapping[str, Any], group: str) -> Any:
    """Build the object that the options describe: the class as `_target_`, and its arguments.

    Raises:
        InputError: The class is abstract or needs more than its keyword parameters.
    """
    try:
        return factory(options, group)()
    except TypeError as error:
        raise InputError(f"{group}._target_={options['_target_']}: {error}") from error


def located(path: str, group: str) -> Any:
    """The class at a dotted path.

    Raises:
        InputError: The path cannot be imported or does not lead to a class.
    """
    try:
        kind = locate(path)
    except Exception as error:  # a user's module may raise anything when it is imported
        raise InputError(f"{group}._target_={path} cannot be imported: {error}") from error
    if not isinstance(kind, type):
        raise InputError(f"{group}._target_={path} is not a class")
    return kind


def refuse_unknown(node: Any, known: list[str], section: str) -> None:
    """Raise an InputError if a key of `node` is not in `known`."""
    for key in node:
        if key not in known:
            where = f"{section}.{key}" if section else str(key)
            options = ", ".join(sorted(name for name in known if name != "_target_"))
            what = f"options of {section}" if section else "keys"
            choices = f"{what}: {options}" if options else f"{section} has no options"
            raise InputError(f"{where} is not known{hint(where, known)}; {choices}")


def merged(schema: type, node: DictConfig, section: str) -> Any:
    """Check the types of `node` against `schema`; raise an InputError if one is wrong."""
    try:
        whole = OmegaConf.merge(OmegaConf.structured(schema), node)
        OmegaConf.resolve(whole)
    except OmegaConfBaseException as error:
        key = ".".join(filter(None, [section, error.full_key or ""]))
        reason = str(error).splitlines()[0]
        if error.full_key:
            value = OmegaConf.select(node, error.full_key, throw_on_resolution_failure=False)
            reason += of_value(key, value)
        raise InputError(f"{key}: {reason}" if key else reason) from error
    return whole
