"""Compressed networks in files."""

import copy
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
    """Stores a network with all that `compress` did to it, for `restore`.

    A model of transformers is stored by its own `save_pretrained`, so that `from_pretrained` reads
    it. Any other network becomes one safetensors file of its state, which also says which tables
    are compressed and how. Tensors that are shared are stored once. Nothing is pickled.

    Args:
        module: the network.
        path: a folder, which is made if it is not there, or for a network that is not of
            transformers a file that ends in `.safetensors`.

    Raises:
        InputError: if a table is still in training (see `finish`), or the path is no such one.
        OSError: if the file cannot be written.
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
    kept = {name: tensor.contiguous() for name, tensor in state.items() if not _twin(state, name)}
    with storage.replacing(file) as temporary:
        save_file(kept, temporary, {_KEY: json.dumps(description), "format": "pt"})


def restore(model: M | Callable[[], M], path: str | Path) -> M:
    """Reads a network that `save`, or the `save_pretrained` of a compressed model, stored.

    Args:
        model: a class of transformers, such as `AutoModel`; or a network made as the stored one
            was before it was compressed, or what makes such a network when it is called.
        path: the folder or the file.

    Returns:
        The network. One that was given is changed in place.

    Raises:
        InputError: if there is no such file, it is damaged, or it does not fit the network; the
            message names the tensor. A network that was given is then as it was.

    Example::

        ccompress.save(network, "small.safetensors")
        again = ccompress.restore(Network(), "small.safetensors")
        encoder = ccompress.restore(AutoModel, "small-encoder")  # what save_pretrained wrote
    """
    path = storage.expanded(path)
    from_pretrained = getattr(model, "from_pretrained", None)
    if isinstance(model, type) and from_pretrained is not None:
        from ccompress.library import transformers  # noqa: F401 - which registers the form

        if not path.is_dir():
            raise InputError(f"there is no folder {path}")
        read: M = from_pretrained(path)
        return read
    description, state = _read(_file(path))
    module: M = model if isinstance(model, nn.Module) else model()  # type: ignore[assignment]
    _refuse_misfit(module, description, state, _file(path))
    restructure(module, description)
    module.load_state_dict(state, strict=False)  # what is shared was stored once
    return module


def _file(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path / _FILE


def _twin(state: dict[str, Tensor], name: str) -> str | None:
    """The first tensor of a state that is the same as one, under another name."""
    tensor = state[name]
    for other, earlier in state.items():
        if other == name:
            return None
        same = earlier.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
        if same and tensor.numel() and earlier.is_set_to(tensor):
            return other
    raise AssertionError(name)


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
    """Refuse a state that the network would not have after it is restructured."""
    # A copy without numbers: each tensor is already copied, says deepcopy's memo, to one on meta.
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
