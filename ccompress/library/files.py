"""Compressed networks in files."""

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ccompress import storage
from ccompress.errors import InputError
from ccompress.library.registration import is_pretrained
from ccompress.library.restructuring import restructure
from ccompress.library.structure import Description, described

_FILE = "model.safetensors"
_KEY = "ccompress"

M = TypeVar("M", bound=nn.Module)


def save(module: nn.Module, path: str | Path) -> None:
    """Store a network, and what `compress` did to it, for `restore`.

    A model of transformers is stored by its own `save_pretrained`, so that `from_pretrained` reads
    it. Any other network becomes one safetensors file with its state and a description of its
    compressed tables. Shared tensors are stored once. Nothing is pickled.

    Args:
        module: The network.
        path: A folder, which is made if it does not exist. A network that is not a model of
            transformers may also be stored in a file that ends in `.safetensors`.

    Raises:
        InputError: A table is still in training (see `finish`), or the path is a file and the
            network is a model of transformers.
        OSError: The file cannot be written.
    """
    path = storage.expanded(path)
    description = described(module)
    if is_pretrained(module):
        if path.suffix == ".safetensors" or path.is_file():
            raise InputError(f"{path} is a file: a model of transformers is stored in a folder")
        module.save_pretrained(path)  # type: ignore[operator]
        return
    file = _file(path)
    state = module.state_dict()
    kept = {
        name: tensor.contiguous() for name, tensor in state.items() if not _is_copy(state, name)
    }
    with storage.replacing(file) as temporary:
        save_file(kept, temporary, {_KEY: json.dumps(description), "format": "pt"})


def restore(model: M | Callable[[], M], path: str | Path) -> M:
    """Read a network that `save`, or the `save_pretrained` of a compressed model, stored.

    Args:
        model: One of three things: a class of transformers, such as `AutoModel`; a network made
            like the stored one before its compression; or a function that makes such a network.
        path: The folder or the file.

    Returns:
        The network. If `model` is a network, it is changed in place and returned.

    Raises:
        InputError: There is no such file, it is damaged, or it does not fit the network. The
            message names the tensor, and a given network stays unchanged.

    Example::

        ccompress.save(network, "small.safetensors")
        again = ccompress.restore(Network(), "small.safetensors")
        encoder = ccompress.restore(AutoModel, "small-encoder")  # what save_pretrained wrote
    """
    path = storage.expanded(path)
    from_pretrained = getattr(model, "from_pretrained", None)
    if isinstance(model, type) and from_pretrained is not None:
        from ccompress.library import transformers  # noqa: F401 - its import registers the form

        if not path.is_dir():
            raise InputError(f"there is no folder {path}")
        read: M = from_pretrained(path)
        return read
    description, state = _read(_file(path))
    module: M = model if isinstance(model, nn.Module) else model()  # type: ignore[assignment]
    _refuse_misfit(module, description, state, _file(path))
    restructure(module, description)
    module.load_state_dict(state, strict=False)  # shared tensors are stored under one name only
    return module


def _file(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path / _FILE


def _is_copy(state: dict[str, Tensor], name: str) -> bool:
    """Whether an earlier name in the state belongs to the same tensor."""
    tensor = state[name]
    earlier = itertools.takewhile(lambda other: other != name, state)
    return tensor.numel() > 0 and any(state[other].is_set_to(tensor) for other in earlier)


def _read(path: Path) -> tuple[Description, dict[str, Tensor]]:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _KEY not in metadata:
            raise InputError(f"{path} was not written by ccompress.save")
        description: Description = json.loads(metadata[_KEY])
    except (SafetensorError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {error}") from error
    return description, state


def _refuse_misfit(
    module: nn.Module, description: Description, state: dict[str, Tensor], path: Path
) -> None:
    """Refuse a state that does not fit the network after its restructuring."""
    # A copy of the network without numbers: deepcopy's memo gives an empty copy of each tensor.
    tensors = {id(t): t for t in (*module.parameters(), *module.buffers())}
    memo = {key: _without_numbers(tensor) for key, tensor in tensors.items()}
    skeleton = copy.deepcopy(module, memo)
    restructure(skeleton, description)
    names: dict[int, list[str]] = {}
    expected = skeleton.state_dict(keep_vars=True)
    for name, tensor in expected.items():
        names.setdefault(id(tensor), []).append(name)
    for same in names.values():
        if not any(name in state for name in same):
            raise InputError(f"{path} lacks {same[0]!r}")
    for name, tensor in state.items():
        if name not in expected:
            raise InputError(f"{path} has {name!r}, which the network lacks")
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"{name!r} has the shape {tuple(tensor.shape)} in {path} and "
                f"{tuple(expected[name].shape)} in the network"
            )


def _without_numbers(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty
