import dataclasses

import composing
import pytest

from ccompress.config.options import located, parameters
from ccompress.config.settings import GROUPS

# Options of a YAML file whose values differ from the defaults of its class.
VARIANTS = {("vectors", "glove300"): {"name", "dim"}}


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in GROUPS for name in composing.options(group)]
)
def test_a_yaml_has_every_option_of_its_class_with_the_same_default(group, name):
    node = composing.config(f"{group}={name}")[group]
    parameters_of_class = parameters(located(node["_target_"], group))
    assert set(node) == {"_target_", *parameters_of_class}
    defaults = {
        option: default
        for option, (_, default) in parameters_of_class.items()
        if default is not dataclasses.MISSING
    }
    for option in VARIANTS.get((group, name), set()):
        assert node[option] != defaults.pop(option)
    assert {option: node[option] for option in defaults} == defaults
