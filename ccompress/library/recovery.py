"""Teach a compressed network to give the outputs of the uncompressed one."""

import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ccompress import storage
from ccompress.errors import Diverged, InputError
from ccompress.library.readers import compressed_places
from ccompress.schedules.scheduler import CALR

OUTPUTS = ("last", "pooled")
LOSSES = ("mse", "cosine")
_SECONDS = 60.0  # a killed process loses no more of its training than this
_GROUP = 32  # texts are sorted by length within as many batches
_KEY = "recovery"

Output = str | Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class _Plan:
    """The settings of a recovery, which must be the same when it is resumed."""

    examples: int
    epochs: int
    batch_size: int
    lower: float
    upper: float
    cycles: int
    output: str
    loss: str
    embeddings_only: bool
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.examples / self.batch_size)

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def batches(self, epoch: int, lengths: Sequence[int]) -> list[list[int]]:
        """The examples of each step of an epoch.

        The examples of a step have similar lengths, so that a batch holds little padding. All
        examples are shuffled, sorted by length within groups of `_GROUP` batches, and the batches
        are shuffled again.
        """
        generator = torch.Generator().manual_seed((self.seed << 20) + epoch)
        drawn = torch.randperm(self.examples, generator=generator).tolist()
        group = _GROUP * self.batch_size
        for first in range(0, len(drawn), group):
            drawn[first : first + group] = sorted(
                drawn[first : first + group], key=lengths.__getitem__
            )
        size = self.batch_size
        batches = [drawn[first : first + size] for first in range(0, len(drawn), size)]
        order = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[number] for number in order]


def recover(
    model: nn.Module,
    teacher: nn.Module,
    data: Sequence[Any],
    tokenizer: Any = None,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    lower: float = 1e-5,
    upper: float = 1e-4,
    cycles: int = 3,
    output: Output = "last",
    loss: str = "mse",
    embeddings_only: bool = False,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> list[float]:
    """Train a compressed network, in place, to give the outputs of the uncompressed one.

    It needs texts but no labels. The learning rate is `CALR`, over the whole training, of an AdamW
    without weight decay. Dropout stays off, because the teacher's outputs have none. Parameters
    without `requires_grad`, such as frozen tables, do not change; the rest of the network adapts
    to them.

    Args:
        model: The compressed network.
        teacher: The network before it was compressed: `copy.deepcopy(model)` before `compress`.
        data: Texts, if there is a tokenizer; otherwise the network's inputs: batches as mappings of
            keyword arguments or as tensors. It must have a length and be indexed by number.
        tokenizer: A tokenizer of transformers with a padding token. Texts are truncated to its
            maximal length, and to 512 tokens at most.
        epochs: How often all data are read.
        batch_size: Texts per step. Without a tokenizer each step reads one batch of `data`.
        lower: The learning rate at which a cycle begins and ends.
        upper: The highest learning rate. It must be lower if the compressed network is nearer to
            the teacher at the start. On all-MiniLM-L6-v2, 5e-4 suits `in_training_svd` at 0.9, and
            2e-5 suits `in_training_svd_mixed` at 0.95, which higher rates make worse.
        cycles: The number of cycles.
        output: Which outputs are compared: "last", the last hidden states where the attention mask
            is 1 (or the output itself, if it is a tensor); "pooled", their mean over each text; or
            a function of the output and the inputs that returns a tensor.
        loss: "mse", the mean squared difference; or "cosine", 1 minus the mean cosine similarity.
        embeddings_only: Whether to train only the compressed embeddings.
        seed: It determines the order of the data.
        checkpoint: A safetensors file. It is written once a minute and at the end. The same call,
            made again after an interruption, continues from it.
        progress: Whether to show a progress bar.

    Returns:
        The loss of each step.

    Raises:
        InputError: An argument is out of range, there is nothing to train, the two networks'
            outputs have different shapes, or the checkpoint belongs to another training.
        Diverged: The loss became infinite or not a number.

    Example::

        teacher = copy.deepcopy(model)
        ccompress.compress(model, rate=0.9, name="embeddings.word_embeddings")
        ccompress.recover(model, teacher, texts, tokenizer, checkpoint="recovery.safetensors")
    """
    if isinstance(data, str) or not len(data):
        raise InputError("data is empty or one text: give a list of texts or of batches")
    if tokenizer is None and isinstance(data[0], str):
        raise InputError("data are texts: give the tokenizer too")
    _check(epochs, batch_size, cycles, output, loss)
    name = output if isinstance(output, str) else getattr(output, "__name__", "a function")
    plan = _Plan(
        len(data), epochs, batch_size if tokenizer is not None else 1, lower, upper, cycles, name,
        loss, embeddings_only, seed,
    )  # fmt: skip
    trained = _trained(model, embeddings_only)
    lengths = [len(text) if isinstance(text, str) else 0 for text in data]
    modes = {module: module.training for part in (model, teacher) for module in part.modules()}
    model.eval()
    teacher.eval()
    try:
        return _train(
            model,
            trained,
            plan,
            functools.lru_cache(1)(lambda epoch: plan.batches(epoch, lengths)),
            lambda numbers: _inputs(model, [data[i] for i in numbers], tokenizer),
            lambda inputs: _distance(model, teacher, inputs, output, loss),
            None if checkpoint is None else storage.expanded(checkpoint),
            progress,
        )
    finally:
        for module, mode in modes.items():
            module.training = mode


def _check(epochs: int, batch_size: int, cycles: int, output: Output, loss: str) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("cycles", cycles)):
        if value < 1:
            raise InputError(f"{name}={value}: give at least 1")
    if isinstance(output, str) and output not in OUTPUTS:
        raise InputError(
            f"output={output!r}: give {' or '.join(map(repr, OUTPUTS))}, or a function"
        )
    if loss not in LOSSES:
        raise InputError(f"loss={loss!r}: give {' or '.join(map(repr, LOSSES))}")


def _trained(model: nn.Module, embeddings_only: bool) -> dict[str, nn.Parameter]:
    """The parameters to train, by their names."""
    places = [f"{path}." if path else "" for path, _ in compressed_places(model)]
    trained = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (not embeddings_only or name.startswith(tuple(places)))
    }
    if not trained:
        kind = "compressed embedding" if embeddings_only else "parameter"
        raise InputError(f"the model has no {kind} that trains")
    for path, module in model.named_modules():
        if getattr(module, "sparse", False):
            raise InputError(f"{path!r} has sparse gradients, which AdamW cannot use: sparse=False")
    return trained


def _train(
    model: nn.Module,
    trained: dict[str, nn.Parameter],
    plan: _Plan,
    batches: Callable[[int], list[list[int]]],
    inputs: Callable[[list[int]], Any],
    distance: Callable[[Any], Tensor],
    checkpoint: Path | None,
    progress: bool,
) -> list[float]:
    optimizer = torch.optim.AdamW(trained.values(), lr=plan.lower, weight_decay=0.0)
    half_cycle = max(1, math.ceil(plan.steps / (2 * plan.cycles)))
    scheduler = CALR(optimizer, plan.lower, plan.upper, half_cycle)
    losses: list[float] = []
    if checkpoint is not None and checkpoint.exists():
        losses = _resumed(checkpoint, plan, trained, optimizer)
        scheduler = CALR(optimizer, plan.lower, plan.upper, half_cycle, last_epoch=len(losses) - 1)
    stored = time.monotonic()
    with tqdm(
        total=plan.steps, initial=len(losses), desc="recover", unit="step", disable=not progress
    ) as bar:
        while len(losses) < plan.steps:
            epoch, step = divmod(len(losses), plan.steps_per_epoch)
            value = distance(inputs(batches(epoch)[step]))
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                raise Diverged(
                    f"the loss is {losses[-1]} at step {len(losses)}: give a lower upper="
                )
            gradients = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
            for parameter, gradient in zip(trained.values(), gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            bar.set_postfix(loss=f"{losses[-1]:.3g}", refresh=False)
            bar.update()
            last = len(losses) == plan.steps
            if checkpoint is not None and (last or time.monotonic() - stored >= _SECONDS):
                _store(checkpoint, plan, trained, optimizer, losses)
                stored = time.monotonic()
    return losses


def _inputs(model: nn.Module, examples: list[Any], tokenizer: Any) -> Any:
    device = next(iter(model.parameters())).device
    if tokenizer is None:
        [batch] = examples
        if isinstance(batch, Tensor):
            return batch.to(device)
        return {name: tensor.to(device) for name, tensor in batch.items()}
    longest = min(tokenizer.model_max_length, 512)
    read = tokenizer(
        examples, padding=True, truncation=True, max_length=longest, return_tensors="pt"
    )
    return dict(read.to(device))


def _distance(
    model: nn.Module, teacher: nn.Module, inputs: Any, output: Output, loss: str
) -> Tensor:
    with torch.no_grad():
        teacher_states = _output(_called(teacher, inputs), inputs, output)
    states = _output(_called(model, inputs), inputs, output)
    if states.shape != teacher_states.shape:
        raise InputError(
            f"the outputs have the shapes {tuple(states.shape)} and {tuple(teacher_states.shape)}: "
            f"give the uncompressed network as the teacher"
        )
    if loss == "cosine":
        return 1 - F.cosine_similarity(states.float(), teacher_states.float(), dim=-1).mean()
    return F.mse_loss(states.float(), teacher_states.float())


def _called(network: nn.Module, inputs: Any) -> Any:
    return network(**inputs) if isinstance(inputs, Mapping) else network(inputs)


def _output(result: Any, inputs: Any, output: Output) -> Tensor:
    """The outputs (..., d) that are compared."""
    if not isinstance(output, str):
        return output(result, inputs)
    states = result if isinstance(result, Tensor) else getattr(result, "last_hidden_state", None)
    if states is None:
        raise InputError(
            f"the network's output is a {type(result).__name__} without last_hidden_state: give "
            f"output= a function of it"
        )
    assert isinstance(states, Tensor)
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    if output == "last":
        return states if mask is None else states[mask.bool()]
    if mask is None:
        return states.mean(1)
    shares = mask.unsqueeze(-1).to(states.dtype)
    pooled: Tensor = (states * shares).sum(1) / shares.sum(1).clamp(min=1)
    return pooled


def _store(
    path: Path,
    plan: _Plan,
    trained: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    losses: list[float],
) -> None:
    tensors = {f"parameter.{name}": parameter.detach() for name, parameter in trained.items()}
    for name, parameter in trained.items():
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{key}.{name}": value for key, value in state.items()}
    metadata = {_KEY: json.dumps({"plan": asdict(plan), "losses": losses})}
    with storage.replacing(path) as temporary:
        save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata)


@torch.no_grad()
def _resumed(
    path: Path,
    plan: _Plan,
    trained: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> list[float]:
    """Restore the parameters and optimizer states of a stored training; return its losses."""
    try:
        with safe_open(path, framework="pt") as file:
            stored = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}; delete it to begin anew") from error
    shapes = {name: tensors.get(f"parameter.{name}", torch.empty(0)).shape for name in trained}
    same = shapes == {name: parameter.shape for name, parameter in trained.items()}
    if stored.get("plan") != asdict(plan) or not same:
        raise InputError(f"{path} belongs to another training: give another file, or delete it")
    for name, parameter in trained.items():
        parameter.copy_(tensors.pop(f"parameter.{name}"))
    for name, parameter in trained.items():
        state = {
            key: tensors[f"{key}.{name}"].to("cpu" if key == "step" else parameter.device)
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{key}.{name}" in tensors
        }
        if state:
            optimizer.state[parameter] = state
    losses: list[float] = stored["losses"]
    return losses
