"""Recognizes models of transformers, and imports transformers only for them."""

from torch import nn


def is_pretrained(module: nn.Module | type[nn.Module]) -> bool:
    """Whether a module, or a class of modules, is a `transformers.PreTrainedModel`."""
    kind = module if isinstance(module, type) else type(module)
    return any(
        (one.__module__, one.__name__) == ("transformers.modeling_utils", "PreTrainedModel")
        for one in kind.__mro__
    )


def adopt(module: nn.Module) -> None:
    """Tell the models of transformers in a network which of their tables are compressed.

    Then their `save_pretrained` stores that too, and `from_pretrained` reads it.
    """
    if any(is_pretrained(part) for part in module.modules()):
        from ccompress.library import transformers

        transformers.adopt(module)
