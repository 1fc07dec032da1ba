"""The small model as a program of ONNX or of torch.export, which runs without ccompress.

What is exported takes tokens, int64 (sentences, longest): rows of the table, sentences filled up at
their end with 0, the row of `<pad>`; a text without words is one such place. It gives
probabilities, float32 (sentences, classes). Both sizes, at least 1, may differ from call to call.
The tokenizer's name, the words of the rows and the labels are written beside it as JSON.

A factorised table is exported folded, a quantized one packed: its rows are read as bytes and
unpacked then, in ONNX by shifts and masks, and where a number is 8 or 16 bits by DequantizeLinear.
"""

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress import installation
from ccompress.data.text.vocabulary import PAD, UNK
from ccompress.deployment.model import Model
from ccompress.embeddings.base import without_padding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.errors import InputError
from ccompress.networks.base import Network, tensor_bytes
from ccompress.numerics.packing import unpack

OPSET = 23  # of 2025, the newest that torch 2.13 writes; uint16 in DequantizeLinear needs 21
_LARGEST = 2**31 - 2**20  # bytes of a protobuf message, less what is not tensors


class Padded(nn.Module):
    """A network that reads sentences filled up to one length, and gives probabilities."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        """Probabilities (sentences, classes) from rows of the table (sentences, longest)."""
        words = self.network.embedding(tokens)
        # A text without words is one <pad>, which is read as a word: see `Model.encode`.
        first = torch.arange(tokens.shape[1]) == 0
        return self.network.read_padded(words, (tokens != PAD) | first).softmax(1)


class Dequantized(nn.Module):
    """As a `QuantizedEmbedding` of 8 or 16 bits, by ONNX's own operator; only to be exported."""

    packed: Tensor
    lower: Tensor
    step: Tensor

    def __init__(self, embedding: QuantizedEmbedding) -> None:
        super().__init__()
        self.embedding_dim, self.bits = embedding.embedding_dim, embedding.bits
        self.padding_idx = embedding.padding_idx
        self.register_buffer("packed", embedding.packed)
        self.register_buffer("lower", embedding.lower)
        step = (embedding.upper.double() - embedding.lower.double()) / (2**self.bits - 1)
        self.register_buffer("step", step.to(embedding.lower.dtype))

    def forward(self, indices: Tensor) -> Tensor:
        """See `QuantizedEmbedding.forward`."""
        numbers = F.embedding(indices, self.packed)
        if self.bits == 16:
            numbers = unpack(numbers, 16, self.embedding_dim).to(torch.uint16)
        vectors = self.lower + torch.onnx.ops.symbolic(
            "::DequantizeLinear",
            (numbers, self.step),
            dtype=self.step.dtype,
            shape=(*indices.shape, self.embedding_dim),
        )
        return without_padding(vectors, indices, self.padding_idx)


def described(small: Model) -> dict[str, Any]:
    """What a program needs to make tokens of text, and labels of probabilities."""
    return {
        "tokenizer": small.tokenizer,
        "labels": small.labels,
        "padding": PAD,
        "unknown": UNK,
        "words": small.words,
    }


def write_onnx(small: Model, path: Path) -> None:
    """Write an ONNX file; its metadata hold the tokenizer's name and the labels.

    Raises:
        InputError: The extra `[export]` is not installed, the network cannot be exported, or it is
            larger than an ONNX file can be.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX needs more packages: {installation.command('export')}") from error
    if tensor_bytes(small.network) > _LARGEST:
        raise InputError("an ONNX file holds at most 2 GB: give --format torch_export")
    with _quietly():
        traced = _traced(_with_operators(small.network))
        try:
            program = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=OPSET,
                input_names=["tokens"],
                output_names=["probabilities"],
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise _refused(small.network, error) from error
    assert program is not None
    for node in program.model.graph:
        node.metadata_props.clear()  # traces of the source: paths of this machine
    program.model.metadata_props.update(
        tokenizer=small.tokenizer, labels=json.dumps(small.labels, ensure_ascii=False)
    )
    program.save(path)


def write_torch_export(small: Model, path: Path) -> None:
    """Write a program of `torch.export`, for `torch.export.load(path).module()` on the CPU.

    Raises:
        InputError: The network cannot be exported.
    """
    with _quietly(), path.open("wb") as file:
        torch.export.save(_traced(small.network), file)


FORMATS: dict[str, tuple[str, Callable[[Model, Path], None]]] = {
    "onnx": (".onnx", write_onnx),
    "torch_export": (".pt2", write_torch_export),
}


def _with_operators(network: Network) -> Network:
    """The network, its parts of 8 and 16 bits put in the way that ONNX has an operator for."""
    parts = [m for m in network.modules() if isinstance(m, QuantizedEmbedding)]
    memo = {id(part): Dequantized(part) for part in parts if part.bits in (8, 16)}
    return copy.deepcopy(network, memo)


def _traced(network: Network) -> torch.export.ExportedProgram:
    """The network over padded sentences as a program of torch's operators."""
    if type(network).read_padded is Network.read_padded:
        name = type(network).__name__
        raise InputError(f"{name} cannot be exported: it has no read_padded (ccompress.networks)")
    # No size is 0 or 1, which would be taken for fixed.
    sample = torch.tensor([[UNK, UNK, UNK], [UNK, UNK, PAD]])
    sizes = {0: torch.export.Dim("sentences"), 1: torch.export.Dim("longest")}
    try:
        return torch.export.export(
            Padded(network), (sample,), dynamic_shapes=(sizes,), strict=False
        )
    except RuntimeError as error:
        raise _refused(network, error) from error


def _refused(network: Network, error: BaseException) -> InputError:
    """What torch says of a network that it cannot export, in one line: the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = str(error).strip().splitlines()[0]
    return InputError(f"{type(network).__name__} cannot be exported: {reason}")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep torch's exporters from unrolling an LSTM, and from notes about their own insides."""
    try:
        # Without this an LSTM is unrolled, and sentences have one length. It has no public name:
        # torch's documentation imports it from here. torch 2.13 brought it; torch.onnx uses it
        # while it traces, but not afterwards.
        from torch.export._patches import register_lstm_while_loop_decomposition
    except ImportError as error:
        raise InputError(f"export needs torch 2.13 or later, not {torch.__version__}") from error
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            register_lstm_while_loop_decomposition(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
