"""The cases to measure (data, table and network), and the contenders that train them."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
import torch
from torch import Tensor, nn

from benchmarks.measuring import LIGHTNING, OURS, PLAIN, Bench
from benchmarks.plain import BATCH_SIZE, LEARNING_RATE, NETWORKS, Epoch, PlainLoop
from ccompress.config.composition import settings_of
from ccompress.config.settings import Settings, register_resolvers
from ccompress.data.batches import Encoded
from ccompress.data.text.vocabulary import PAD, UNK
from ccompress.deployment import model
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.experiment.run import prepare
from ccompress.methods.none import NoCompression
from ccompress.numerics.svd import factorize
from ccompress.training.evaluation import predict
from ccompress.training.trainer import Recipe, Trainer

VECTORS = "vectors=imdb_glove300"
SST2 = ("dataset=sst2", VECTORS)
PHRASES = ("dataset=sst2", "dataset.phrases=true", VECTORS)
# All words of the reviews and of the vectors: 97,176 rows, the real table nearest to 100,000 rows.
IMDB = ("dataset=imdb", "vocab.policy=train+vectors", "vocab.min_count=1", VECTORS)
QUICK = ("dataset=books",)

Epochs = Callable[[], Epoch]


@dataclass(frozen=True)
class Case:
    """A training to be measured.

    Attributes:
        name: The case's name in the tables.
        table: The embedding table (V, d).
        train_rows: The number of rows at the start of the table that training can change.
        classes: The number of classes.
        train: The training sentences, or a part of them.
        whole_steps: The number of steps in an epoch over all training sentences.
        dev: The dev split.
        network: The network's name, `dan` or `lstm`.
        options: The network's options.
        make: Builds our network from embedding, width and classes.
    """

    name: str
    table: Tensor
    train_rows: int
    classes: int
    train: Encoded
    whole_steps: int
    dev: Encoded
    network: str
    options: dict[str, Any]
    make: Any

    @property
    def steps(self) -> int:
        """The number of steps in a measured epoch."""
        return -(-len(self.train) // BATCH_SIZE)

    def step(self, epoch: Epoch) -> float:
        """The seconds per step of a measured epoch."""
        return (epoch.seconds - epoch.evaluation) / self.steps

    def whole(self, epoch: Epoch) -> float:
        """The seconds of an epoch over all training sentences, extrapolated from a measured one."""
        return self.step(epoch) * self.whole_steps + epoch.evaluation

    @property
    def note(self) -> str:
        """What part of an epoch was measured; empty if all of it was."""
        if self.steps == self.whole_steps:
            return ""
        return f"extrapolated from {self.steps} of {self.whole_steps} steps"


def overrides(bench: Bench, chosen: tuple[str, ...]) -> list[str]:
    """The options of a run on the data `chosen`; in a quick trial, on the embedded data."""
    return [
        *(QUICK if bench.quick else chosen),
        f"threads={bench.threads}",
        f"runs_dir={bench.runs}",
        "save_model=false",
    ]


def settings(bench: Bench, chosen: tuple[str, ...], *more: str) -> Settings:
    """The settings that `ccompress` has with these options."""
    register_resolvers()
    conf = Path(__file__).parents[2] / "conf"
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        words = [*overrides(bench, chosen), *more]
        return settings_of(hydra.compose("config", words, return_hydra_config=True))


def epochs(bench: Bench, chosen: tuple[str, ...], network: str) -> int:
    """The number of epochs of a run; two in a quick trial."""
    return 2 if bench.quick else settings(bench, chosen, f"network={network}").epochs


def load(
    bench: Bench,
    name: str,
    chosen: tuple[str, ...],
    network: str,
    share: float = 1.0,
    rows: int | None = None,
) -> Case:
    """A case on real data.

    Args:
        bench: The options of the benchmark.
        name: The case's name in the tables.
        chosen: The options that name the data.
        network: `dan` or `lstm`.
        share: The fraction of the training sentences to use, drawn at random. Table and dev stay
            whole.
        rows: The number of rows of the table. Words beyond it become `<unk>`; additional rows are
            random.
    """
    composed = settings(bench, chosen, f"network={network}")
    data = prepare(composed)
    train = data.splits["train"]
    case = Case(
        f"{composed.names['dataset'] if bench.quick else name}, {network}",
        data.table,
        data.train_rows,
        len(data.labels),
        part(train, _drawn(train, 0.02 if bench.quick else share)),
        -(-len(train) // BATCH_SIZE),
        data.splits["dev"],
        network,
        dict(composed.network.keywords),
        composed.network,
    )
    if rows is None:
        return case
    return with_rows(case, min(rows, 10_000) if bench.quick else rows)


def part(split: Encoded, chosen: Tensor) -> Encoded:
    """The sentences of a split with the chosen indices."""
    sentences = torch.split(split.tokens, split.lengths.tolist())
    tokens = torch.cat([sentences[i] for i in chosen.tolist()])
    return Encoded(tokens, split.lengths[chosen], split.labels[chosen])


def _drawn(split: Encoded, share: float) -> Tensor:
    """The indices of a random share of a split; every call draws the same."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return order[: round(share * len(split))].sort().values


def with_rows(case: Case, rows: int) -> Case:
    """The same case with a table of `rows` rows."""
    table = case.table[:rows]
    if missing := rows - len(table):
        noise = torch.randn(missing, table.shape[1], generator=torch.Generator().manual_seed(0))
        table = torch.cat([table, noise])

    def within(split: Encoded) -> Encoded:
        tokens = torch.where(split.tokens < rows, split.tokens, UNK)
        return Encoded(tokens, split.lengths, split.labels)

    return replace(
        case,
        table=table,
        train_rows=min(case.train_rows, rows),
        train=within(case.train),
        dev=within(case.dev),
    )


def contenders(
    case: Case, device: torch.device, rank: int | None = None, lightning: bool = True
) -> dict[str, Epochs]:
    """Our training, the plain loop and, if it is installed, Lightning, each with its own network.

    Args:
        case: The training to measure.
        device: The device to train on.
        rank: Train factors of this rank, as after the compression step, instead of the table.
        lightning: Whether Lightning takes part.
    """
    loops: dict[str, Epochs] = {
        OURS: ours(case, device, rank),
        PLAIN: plain(case, device, rank).epoch,
    }
    if lightning and importlib.util.find_spec("lightning"):
        from benchmarks.with_lightning import LightningLoop

        network = _plain_network(case, rank)
        loops[LIGHTNING] = LightningLoop(network, case.train, case.dev, device).epoch
    return loops


def ours(case: Case, device: torch.device, rank: int | None = None) -> Epochs:
    """Our training, one epoch per call."""
    torch.manual_seed(0)
    embedding = NoCompression().prepare(case.table.clone(), rate=0.0)
    if rank is not None:
        embedding = LowRankEmbedding.from_table(case.table, rank, padding_idx=PAD, sparse=True)
    network = model.build(case.make, embedding, case.classes).to(device)
    recipe = Recipe(lambda step, steps: LEARNING_RATE, BATCH_SIZE, seed=0, optimizer="adam")
    splits = (case.train.to(device), case.dev.to(device))
    trainer = Trainer(network, *splits, recipe, case.train_rows, on_epoch=lambda row: None)

    def epoch() -> Epoch:
        trainer.train("reference", trainer.epoch + 1)
        row = trainer.rows[-1]
        began = time.perf_counter()
        predict(network, splits[1]).cpu()
        return Epoch(row.seconds, time.perf_counter() - began, row.dev_accuracy)

    return epoch


def plain(case: Case, device: torch.device, rank: int | None = None) -> PlainLoop:
    """The plain loop."""
    return PlainLoop(_plain_network(case, rank), case.train, case.dev, device)


def _plain_network(case: Case, rank: int | None) -> nn.Module:
    """The plain loop's network for the case, whose table is a dense parameter."""
    torch.manual_seed(0)
    rows, dim = case.table.shape
    embedding: nn.Module = nn.Embedding(rows, dim, PAD, _weight=case.table.clone())
    if rank is not None:
        A, B = factorize(case.table, rank)
        second = nn.Linear(rank, dim, bias=False)
        second.weight = nn.Parameter(B.T.contiguous())
        embedding = nn.Sequential(nn.Embedding(rows, rank, PAD, _weight=A), second)
    options = {name: value for name, value in case.options.items() if name != "ngrams"}
    network: nn.Module = NETWORKS[case.network](embedding, dim, case.classes, **options)
    return network
