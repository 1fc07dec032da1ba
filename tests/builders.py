"""Small splits, networks and trainers for many tests."""

import torch
from torch import nn

from ccompress.data.batches import Encoded
from ccompress.methods.in_training_svd import InTrainingSVD
from ccompress.methods.in_training_svd_mixed import InTrainingSVDMixed
from ccompress.methods.none import NoCompression
from ccompress.networks.dan import DAN
from ccompress.networks.lstm import LSTM
from ccompress.training.trainer import Recipe, Trainer

NETWORKS = {"dan": DAN, "lstm": LSTM}
CPU = torch.device("cpu")


def encoded(sentences: list[list[int]], labels: list[int] | None = None) -> Encoded:
    """A split of these sentences, whose words are given as rows of the table."""
    return Encoded(
        torch.tensor([row for sentence in sentences for row in sentence]),
        torch.tensor([len(sentence) for sentence in sentences]),
        torch.tensor(labels or [0] * len(sentences)),
    )


def random_split(sentences: int, rows: int, seed: int, longest: int = 12) -> Encoded:
    """Sentences of random words (rows 2 and up).

    The label says whether the mean row is in the upper half of the table, so that there is
    something to learn.
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (sentences,), generator=generator).tolist()
    drawn = [torch.randint(2, rows, (n,), generator=generator).tolist() for n in lengths]
    return encoded(drawn, [int(sum(words) / len(words) > rows / 2) for words in drawn])


def network(name: str, table: torch.Tensor, classes: int = 2, **options: float) -> nn.Module:
    """A network with its own copy of the table."""
    embedding = nn.Embedding.from_pretrained(
        table.clone(), freeze=False, padding_idx=0, sparse=True
    )
    return NETWORKS[name](embedding, table.shape[1], classes, **options)


TRAINED = ("table", "factors", "mixed factors")


def trained_embedding(kind: str, table: torch.Tensor) -> nn.Module:
    """The embedding that a method trains: the table itself, or its factors."""
    counts = torch.arange(len(table)).flip(0).to(table.device)
    if kind == "factors":
        return InTrainingSVD().compress(table, 0.5, counts)
    if kind == "mixed factors":
        return InTrainingSVDMixed().compress(table, 0.5, counts)
    return NoCompression().compress(table, 0.0, counts)


def new_trainer(
    name: str = "dan",
    seed: int = 0,
    rows: int = 50,
    lr: float = 0.01,
    device: torch.device = CPU,
    optimizer: str = "adam",
) -> Trainer:
    """A trainer with 100 sentences that has not trained yet."""
    torch.manual_seed(seed)
    net = network(name, torch.randn(rows, 8), hidden=6).to(device)
    recipe = Recipe(lambda step, steps: lr / (1 + 0.01 * step), 16, seed, optimizer)
    return Trainer(
        net,
        random_split(100, rows - 10, 1).to(device),
        random_split(40, rows - 10, 2).to(device),
        recipe,
        rows - 10,
        lambda row: None,
    )
