"""What every stored model does: it reads raw text and tells the probability of each label."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ccompress.data.base import Columns
from ccompress.data.text import tokenizers
from ccompress.errors import InputError

_LISTED = 5  # labels in a line


class Prediction(NamedTuple):
    """A model's prediction for one text.

    Attributes:
        label: The most probable label; None for a text without words.
        probability: The probability of that label; None for a text without words.
        probabilities: Label -> probability, most probable first; empty for a text without words.
    """

    label: str | None
    probability: float | None
    probabilities: dict[str, float]


class Classifier(ABC):
    """A stored model with everything that is needed to read raw text.

    Attributes:
        labels: Names of the classes, in the order of the probabilities.
        tokenizer: A name known to `ccompress.data.text.tokenizers.get`.
        columns: The columns of the user's own table that it was trained on; None: no such table, or
            an earlier version did not store them.
    """

    labels: list[str]
    tokenizer: str
    columns: Columns | None

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is, in a few words."""

    @abstractmethod
    def scored(self, texts: Sequence[list[str]]) -> Tensor:
        """The probability of each class for each tokenized text (texts, classes), on the CPU."""

    def __repr__(self) -> str:
        named = ", ".join(map(repr, self.labels[:_LISTED])) + ", …" * (len(self.labels) > _LISTED)
        return f"<{self.kind}; {len(self.labels)} classes: {named}; tokenizer {self.tokenizer}>"

    @functools.cached_property
    def _tokenize(self) -> tokenizers.Tokenizer:
        return tokenizers.get(self.tokenizer)

    def tokens(self, text: str) -> list[str]:
        """The words of a text."""
        return list(self._tokenize(text))

    def predict(self, texts: Sequence[str], top: int | None = None) -> list[Prediction]:
        """Predict the label of each text, with probabilities.

        Args:
            texts: Raw texts.
            top: How many of the most probable labels to return; None returns all.

        Raises:
            InputError: `texts` is a single string, or `top` is below 1.
        """
        if isinstance(texts, str):
            raise InputError("predict takes a list of texts, not one text: give [text]")
        if top is not None and top < 1:
            raise InputError(f"top={top}: give at least 1")
        tokenized = [self.tokens(text) for text in texts]
        # A stable sort keeps equal probabilities in the order of the labels, as argmax does.
        values, order = self.scored(tokenized).sort(dim=1, descending=True, stable=True)
        predictions = []
        for tokens, probable, classes in zip(
            tokenized, values[:, :top].tolist(), order[:, :top].tolist(), strict=True
        ):
            if not tokens:
                predictions.append(Prediction(None, None, {}))
                continue
            names = [self.labels[i] for i in classes]
            probabilities = dict(zip(names, probable, strict=True))
            predictions.append(Prediction(names[0], probable[0], probabilities))
        return predictions

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """The probability of each class for each text (texts, classes), on the CPU."""
        return self.scored([self.tokens(text) for text in texts])
