"""Export of the small model to ONNX or torch.export, so that it runs without ccompress.

The exported program has one input, `tokens`, int64 (sentences, longest). Each entry is a row number
of the table. A sentence that is shorter than the longest is padded at its end with 0, the row of
`<pad>`; a text without words is a single 0. The output is `probabilities`, float32 (sentences,
classes). Both input sizes may change from call to call and are at least 1.

`write_onnx_folder` writes the program with its tokenizer. Beside a single file, a JSON file holds
the tokenizer's name, the word or n-gram of each row and the labels. A network that reads n-grams
gets their rows after those of the words, as `ccompress.data.text.vocabulary.encode` gives them.

A factorised table is exported folded. A quantized table is exported packed: the program reads the
rows as bytes and then unpacks them. In ONNX it unpacks with shifts and masks, or with
DequantizeLinear where a number has 8 or 16 bits.
"""

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccompress import installation, storage
from ccompress.data.text.vocabulary import PAD, UNK
from ccompress.deployment import tokenizer_json
from ccompress.deployment.model import Model
from ccompress.embeddings.base import without_padding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.errors import InputError
from ccompress.networks import rest
from ccompress.networks.base import Network, tensor_bytes
from ccompress.numerics import rounding
from ccompress.numerics.packing import unpack

if TYPE_CHECKING:
    import onnx_ir

# The newest opset (2025) that torch 2.13 writes. DequantizeLinear accepts uint16 from opset 21 on.
OPSET = 23
# A matrix with fewer numbers takes more bytes as integers, because of their operator.
_LEAST = 256
# The largest size of all tensors in bytes: a protobuf message of 2 GiB, less 1 MiB for the rest.
_LARGEST = 2**31 - 2**20


class Padded(nn.Module):
    """A network that reads sentences padded to one length and returns probabilities."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        """Probabilities (sentences, classes) from rows of the table (sentences, longest)."""
        words = self.network.embedding(tokens)
        # A text without words is one <pad>. The network reads it as a word: see `Model.encode`.
        first = torch.arange(tokens.shape[1]) == 0
        return self.network.read_padded(words, (tokens != PAD) | first).softmax(1)


class Dequantized(nn.Module):
    """A `QuantizedEmbedding` of 8 or 16 bits that uses ONNX's own operator; for export only."""

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
    """What a program needs to turn text into tokens and probabilities into labels."""
    return {
        "tokenizer": small.tokenizer,
        "labels": small.labels,
        "padding": PAD,
        "unknown": UNK,
        "words": small.words,
        "ngrams": small.ngrams,
    }


def write_onnx_folder(small: Model, folder: Path) -> None:
    """Write what answers raw text without ccompress.

    That is model.onnx, tokenizer.json, labels.json (their order is that of the probabilities) and
    predict.py, a program that needs onnxruntime and tokenizers alone.

    Raises:
        InputError: As `write_onnx`, or the tokenizer is a function of one's own.
    """
    with _extra_packages():
        tokenizer = tokenizer_json.written(small.tokenizer, small.words)
    graph = _onnx(small)
    with storage.replacing(folder / "model.onnx") as temporary:
        graph.save(temporary)
    storage.write_text(folder / "tokenizer.json", tokenizer)
    labels = json.dumps(small.labels, ensure_ascii=False, indent=1)
    storage.write_text(folder / "labels.json", labels)
    program = Path(__file__).with_name("onnx_predict.py").read_text(encoding="utf-8")
    storage.write_text(folder / "predict.py", program)


def write_onnx(small: Model, path: Path) -> None:
    """Write an ONNX file whose metadata hold the tokenizer's name and the labels.

    Raises:
        InputError: The extra `[export]` is not installed, the network cannot be exported, or the
            network is too large for an ONNX file.
    """
    _onnx(small).save(path)


def _onnx(small: Model) -> torch.onnx.ONNXProgram:
    with _extra_packages():
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        from onnx_ir.passes.common import DeduplicateInitializersPass
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
        node.metadata_props.clear()  # stack traces, which hold file paths of this machine
    if precision := rest.BITS.get(small.config.get("rest", rest.FLOAT32)):
        _store_integers(program.model, precision)
    DeduplicateInitializersPass()(program.model)  # such as packed numbers that are read twice
    program.model.metadata_props.update(
        tokenizer=small.tokenizer, labels=json.dumps(small.labels, ensure_ascii=False)
    )
    return program


def _store_integers(model: "onnx_ir.Model", bits: int) -> None:
    """Store each matrix whose rows are multiples of a step as integers, with DequantizeLinear.

    The exporter may have changed the order of a matrix's rows. So the integers and the steps are
    computed again from the numbers. This is exact, because rounding changes no rounded number.

    Args:
        model: The program, which is changed in place.
        bits: The bits of a number in the matrices of the network, 4 or 8.
    """
    import onnx_ir

    graph = model.graph
    kind = {8: onnx_ir.DataType.INT8, 4: onnx_ir.DataType.INT4}[bits]
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != onnx_ir.DataType.FLOAT or tensor.size < _LEAST:
            continue
        shape = tuple(tensor.shape.numpy())
        weights = torch.tensor(tensor.numpy()).reshape(-1, shape[-1])
        rows = rounding.round_rows(weights, bits)
        if len(shape) < 2 or len(weights) != shape[-2] or not torch.equal(rows.values(), weights):
            continue
        numbers = rows.multiples.numpy().reshape(shape).astype(kind.numpy())
        integers = onnx_ir.val(f"{name}.integers", const_value=onnx_ir.tensor(numbers, dtype=kind))
        steps = onnx_ir.val(f"{name}.steps", const_value=onnx_ir.tensor(rows.steps.numpy()))
        node = onnx_ir.node(
            "DequantizeLinear", [integers, steps], attributes={"axis": len(shape) - 2}
        )
        node.outputs[0].name = f"{name}.numbers"
        graph.insert_before(graph[0], node)
        value.replace_all_uses_with(node.outputs[0])
        del graph.initializers[name]
        for stored in (integers, steps):
            graph.register_initializer(stored)


def write_torch_export(small: Model, path: Path) -> None:
    """Write a `torch.export` program, which `torch.export.load(path).module()` reads on the CPU.

    Raises:
        InputError: The network cannot be exported.
    """
    with _quietly(), path.open("wb") as file:
        torch.export.save(_traced(small.network), file)


@contextlib.contextmanager
def _extra_packages() -> Iterator[None]:
    """Say which extra has what cannot be imported."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"ONNX needs more packages: {installation.command('export')}") from error


WRITERS: dict[str, Callable[[Model, Path], None]] = {
    "onnx": write_onnx,
    "torch_export": write_torch_export,
}


def _with_operators(network: Network) -> Network:
    """A copy of the network whose 8-bit and 16-bit embeddings use ONNX's own operator."""
    parts = [m for m in network.modules() if isinstance(m, QuantizedEmbedding)]
    memo = {id(part): Dequantized(part) for part in parts if part.bits in (8, 16)}
    return copy.deepcopy(network, memo)


def _traced(network: Network) -> torch.export.ExportedProgram:
    """The network over padded sentences, traced to a program of torch operators."""
    if type(network).read_padded is Network.read_padded:
        name = type(network).__name__
        raise InputError(f"{name} cannot be exported: it has no read_padded (ccompress.networks)")
    # torch takes a size of 0 or 1 for a fixed one, so both sizes of the sample are larger.
    sample = torch.tensor([[UNK, UNK, UNK], [UNK, UNK, PAD]])
    sizes = {0: torch.export.Dim("sentences"), 1: torch.export.Dim("longest")}
    try:
        return torch.export.export(
            Padded(network), (sample,), dynamic_shapes=(sizes,), strict=False
        )
    except RuntimeError as error:
        raise _refused(network, error) from error


def _refused(network: Network, error: BaseException) -> InputError:
    """The error for a network that torch cannot export: one line, with the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = str(error).strip().splitlines()[0]
    return InputError(f"{type(network).__name__} cannot be exported: {reason}")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Export an LSTM as a loop, and silence the exporters' messages about their internals."""
    try:
        # Without this, torch unrolls an LSTM, and the program accepts sentences of one length only.
        # The function has no public name: torch's own documentation imports it from this private
        # module. It exists since torch 2.13. torch.onnx uses it while it traces, not afterwards.
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
