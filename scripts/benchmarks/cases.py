"""What is measured: prepared data, a table, a network; and the contenders that train it."""

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
# Every word of the reviews and of the vectors: 97,176 rows, the nearest to 100,000 that is real.
IMDB = ("dataset=imdb", "vocab.policy=train+vectors", "vocab.min_count=1", VECTORS)
QUICK = ("dataset=books",)

Epochs = Callable[[], Epoch]


@dataclass(frozen=True)
class Case:
    """A training to be measured.

    Attributes:
        table: The embedding table (V, d).
        train: The training sentences, or a part of them, of which an epoch has `steps` steps
            instead of `whole_steps`.
        train_rows: Training touches only the rows before this one.
        network: The network's name, `dan` or `lstm`.
        options: Its options.
        make: Builds ours from embedding, width and classes.
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
        """Steps that are measured as an epoch."""
        return -(-len(self.train) // BATCH_SIZE)

    def step(self, epoch: Epoch) -> float:
        """Seconds of a step, from a measured epoch."""
        return (epoch.seconds - epoch.evaluation) / self.steps

    def whole(self, epoch: Epoch) -> float:
        """Seconds of an epoch over all training sentences, from a measured one."""
        return self.step(epoch) * self.whole_steps + epoch.evaluation

    @property
    def note(self) -> str:
        """What was measured of an epoch."""
        if self.steps == self.whole_steps:
            return ""
        return f"extrapolated from {self.steps} of {self.whole_steps} steps"


def overrides(bench: Bench, chosen: tuple[str, ...]) -> list[str]:
    """The options of a run on the data `chosen`; where it is a try, on the embedded data."""
    return [
        *(QUICK if bench.quick else chosen),
        f"threads={bench.threads}",
        f"runs_dir={bench.runs}",
        "save_model=false",
    ]


def settings(bench: Bench, chosen: tuple[str, ...], *more: str) -> Settings:
    """What `ccompress` makes of these options."""
    register_resolvers()
    conf = Path(__file__).parents[2] / "conf"
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        given = [*overrides(bench, chosen), *more]
        return settings_of(hydra.compose("config", given, return_hydra_config=True))


def epochs(bench: Bench, chosen: tuple[str, ...], network: str) -> int:
    """The epochs of a run; two where it is a try."""
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
        bench: What is asked for.
        name: How tables name the case.
        chosen: The options that name its data.
        network: `dan` or `lstm`.
        share: Of the training sentences, drawn at random; table and dev stay whole.
        rows: Rows that the table has; words beyond are `<unk>`, rows without a word random.
    """
    one = settings(bench, chosen, f"network={network}")
    data = prepare(one)
    train = data.splits["train"]
    case = Case(
        f"{one.names['dataset'] if bench.quick else name}, {network}",
        data.table,
        data.train_rows,
        len(data.labels),
        part(train, _drawn(train, 0.02 if bench.quick else share)),
        -(-len(train) // BATCH_SIZE),
        data.splits["dev"],
        network,
        dict(one.network.keywords),
        one.network,
    )
    if rows is None:
        return case
    return with_rows(case, min(rows, 10_000) if bench.quick else rows)


def part(split: Encoded, chosen: Tensor) -> Encoded:
    """The sentences of a split whose indices are chosen."""
    sentences = torch.split(split.tokens, split.lengths.tolist())
    tokens = torch.cat([sentences[i] for i in chosen.tolist()])
    return Encoded(tokens, split.lengths[chosen], split.labels[chosen])


def _drawn(split: Encoded, share: float) -> Tensor:
    """Indices of a random share of a split, always the same."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return order[: round(share * len(split))].sort().values


def with_rows(case: Case, rows: int) -> Case:
    """The same sentences over a table of `rows` rows."""
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
    """Ours, the plain loop, and Lightning where it is installed; each trains a network of its own.

    Args:
        case: What to train.
        device: Where.
        rank: Train the factors of the table, as after the compression step, instead of the table.
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
    """Our training, an epoch a call."""
    torch.manual_seed(0)
    embedding = NoCompression().prepare(case.table.clone(), rate=0.0)
    if rank is not None:
        embedding = LowRankEmbedding.from_table(case.table, rank, padding_idx=PAD, sparse=True)
    network = model.build(case.make, embedding, case.classes).to(device)
    recipe = Recipe(lambda step, steps: LEARNING_RATE, BATCH_SIZE, seed=0)
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
    """The network of the case as everybody writes it; its table a dense parameter."""
    torch.manual_seed(0)
    rows, dim = case.table.shape
    embedding: nn.Module = nn.Embedding(rows, dim, PAD, _weight=case.table.clone())
    if rank is not None:
        A, B = factorize(case.table, rank)
        second = nn.Linear(rank, dim, bias=False)
        second.weight = nn.Parameter(B.T.contiguous())
        embedding = nn.Sequential(nn.Embedding(rows, rank, PAD, _weight=A), second)
    network: nn.Module = NETWORKS[case.network](embedding, dim, case.classes, **case.options)
    return network
