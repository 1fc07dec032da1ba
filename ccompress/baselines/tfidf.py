"""TF-IDF of words and word pairs, and a linear classifier: the baseline without embeddings.

Every choice is made on dev: the classifier (logistic regression or a linear SVM), its
regularisation, the number of features, and the levels to which the weights are rounded. The result
is a line from small to large files; each point is the model as it is stored, rounding included.
"""

import itertools
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccompress import installation, storage
from ccompress.data.base import Examples, Splits
from ccompress.errors import InputError

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

FEATURES = (1000, 2000, 4000, 8000, 16000, 32000)
REGULARISATION = (0.25, 1.0, 4.0)  # C: the inverse strength
LEVELS = (127, 15, 7, 3)  # weights are rounded to -levels, ..., levels, times a scale per class

_IDF_LEVELS = 255
_SEPARATOR = "\n"

Matrix = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LinearModel:
    """A stored baseline.

    Attributes:
        ngrams: F words and pairs of words, sorted; the words of a pair are joined by a space.
        idf: Inverse document frequency of each, rounded as it is stored (F,).
        weights: Rounded, -levels to levels (F, columns), int8; one column stands for two classes.
        scale: What a level of each column is worth (columns,).
        bias: (columns,).
        labels: Names of the classes.
    """

    ngrams: list[str]
    idf: Matrix
    weights: npt.NDArray[np.int8]
    scale: Matrix
    bias: Matrix
    labels: list[str]

    def predict(self, texts: Sequence[Sequence[str]]) -> Indices:
        """The number of the class of each tokenized text (n,)."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(vocabulary=self.ngrams, **_ANALYSIS)
        vectorizer.idf_ = self.idf
        return _classes(vectorizer.transform(texts) @ (self.weights * self.scale) + self.bias)

    def save(self, path: Path) -> int:
        """Write the model, atomically; the size of the file in bytes."""
        lowest, step = self.idf.min(), np.ptp(self.idf) / _IDF_LEVELS or 1.0
        tensors = {
            "ngrams": _compressed(_SEPARATOR.join(self.ngrams).encode()),
            "idf": np.rint((self.idf - lowest) / step).astype(np.uint8),
            "idf_range": np.array([lowest, step], np.float32),
            "weights": _compressed(np.ascontiguousarray(self.weights.T).tobytes()),
            "scale": self.scale.astype(np.float32),
            "bias": self.bias.astype(np.float32),
        }
        storage.save(path, tensors, {"labels": _SEPARATOR.join(self.labels), "kind": "tfidf"})
        return path.stat().st_size

    @classmethod
    def load(cls, path: Path) -> "LinearModel":
        """Read what `save` wrote.

        Raises:
            InputError: The file is damaged or holds no baseline.
        """
        try:
            tensors, metadata = storage.load_numpy(path)
        except storage.DamagedFile as error:
            raise InputError(str(error)) from error
        if metadata.get("kind") != "tfidf":
            raise InputError(f"{path} holds no TF-IDF baseline")
        lowest, step = (float(number) for number in tensors["idf_range"])
        weights = np.frombuffer(lzma.decompress(tensors["weights"].tobytes()), np.int8)
        return cls(
            lzma.decompress(tensors["ngrams"].tobytes()).decode().split(_SEPARATOR),
            lowest + tensors["idf"] * step,
            weights.reshape(len(tensors["scale"]), -1).T,
            tensors["scale"].astype(np.float64),
            tensors["bias"].astype(np.float64),
            metadata["labels"].split(_SEPARATOR),
        )


@dataclass(frozen=True, order=True)
class Point:
    """A baseline of one size.

    Attributes:
        file_bytes: The size of its file.
        dev_accuracy: In percent.
        test_accuracy: In percent.
        features: Words and pairs of words.
        levels: Of the weights, either side of 0.
        classifier: Its class and regularisation.
    """

    file_bytes: int
    dev_accuracy: float
    test_accuracy: float = field(compare=False)
    features: int = field(compare=False)
    levels: int = field(compare=False)
    classifier: str = field(compare=False)


def train(splits: Splits, folder: Path) -> list[Point]:
    """Train baselines of all sizes and store those that no smaller one matches on dev.

    Test is read once, for the stored ones.

    Args:
        splits: Tokenized examples.
        folder: Where `tfidf-FEATURES-LEVELS.safetensors` files are written.

    Returns:
        The stored ones, from the smallest file to the largest; dev accuracy rises with the size.

    Raises:
        InputError: scikit-learn is not installed.
    """
    labels = sorted(set(splits.train.labels))
    candidates = []
    for model, classifier, levels in _candidates(splits, labels):
        path = folder / f"tfidf-{len(model.ngrams)}-{levels}.safetensors"
        size = model.save(path)
        score = accuracy(LinearModel.load(path), splits.dev)
        candidates.append((size, -score, path, classifier, levels))
    line: list[Point] = []
    best = -1.0
    for size, loss, path, classifier, levels in sorted(candidates):
        if -loss <= best:
            path.unlink()
            continue
        best, model = -loss, LinearModel.load(path)
        test = accuracy(model, splits.test)
        line.append(Point(size, best, test, len(model.ngrams), levels, classifier))
    return line


def accuracy(model: LinearModel, examples: Examples) -> float:
    """Accuracy on tokenized examples, in percent."""
    true = _numbers(examples, model.labels)
    return 100.0 * float(np.mean(model.predict(examples.tokens) == true))


def _identity(tokens: Sequence[str]) -> Sequence[str]:
    return tokens


# The texts come tokenized; a logarithm of the count tames words that a long text repeats.
_ANALYSIS: dict[str, Any] = {
    "tokenizer": _identity,
    "token_pattern": None,
    "lowercase": False,
    "ngram_range": (1, 2),
    "sublinear_tf": True,
}


def _candidates(splits: Splits, labels: Sequence[str]) -> Iterator[tuple[LinearModel, str, int]]:
    """Models of every size, each with its classifier's name and its levels."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.feature_selection import chi2
    except ImportError as error:
        raise InputError(
            f"the baseline needs scikit-learn: {installation.command('baseline')}"
        ) from error
    vectorizer = TfidfVectorizer(min_df=2 if len(splits.train) > 1000 else 1, **_ANALYSIS)
    train = vectorizer.fit_transform(splits.train.tokens)
    dev = vectorizer.transform(splits.dev.tokens)
    targets, dev_targets = (_numbers(split, labels) for split in (splits.train, splits.dev))

    def best(choices: list[_Choice], orders: list[Indices], size: int) -> _Fitted:
        """The choice and the order of features that are best on dev; the first in a tie."""
        fitted = []
        for choice, order in itertools.product(choices, orders):
            chosen = np.sort(order[:size])
            classifier = choice.made().fit(train[:, chosen], targets)
            score = float(np.mean(classifier.predict(dev[:, chosen]) == dev_targets))
            fitted.append(_Fitted(score, choice, chosen, classifier))
        return max(fitted, key=lambda one: one.dev_score)

    everything = np.arange(train.shape[1])
    kinds = ("logistic regression", "linear SVM")
    choices = [_Choice(kind, strength) for strength in REGULARISATION for kind in kinds]
    whole = best(choices, [everything], len(everything))
    # Fewer features: those that some class weighs most, or those that tell the classes apart most.
    orders = [
        np.argsort(-np.abs(_coefficients(whole.classifier)).max(1), kind="stable"),
        np.argsort(-np.nan_to_num(chi2(train, targets)[0]), kind="stable"),
    ]
    # and the classifier may be less regularised, since fewer of them fit less well
    kind, strength = whole.choice
    choices = [whole.choice, _Choice(kind, 4 * strength)]
    sizes = [size for size in FEATURES if size < len(everything)]
    for fitted in itertools.chain((best(choices, orders, size) for size in sizes), [whole]):
        for levels in LEVELS:
            yield _rounded(vectorizer, fitted, labels, levels), str(fitted.choice), levels


class _Choice(NamedTuple):
    """A classifier by its kind and C, the inverse strength of its regularisation."""

    kind: str
    strength: float

    def __str__(self) -> str:
        return f"{self.kind}, C = {self.strength:g}"

    def made(self) -> Any:
        """The classifier, not yet fitted."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.svm import LinearSVC

        if self.kind == "linear SVM":
            return LinearSVC(C=self.strength, random_state=0)
        one = LogisticRegression(C=self.strength, solver="liblinear", random_state=0)
        return OneVsRestClassifier(one)


class _Fitted(NamedTuple):
    """A classifier fitted over the features `chosen`."""

    dev_score: float
    choice: _Choice
    chosen: Indices
    classifier: Any


def _coefficients(classifier: Any) -> Matrix:
    """The weights of a fitted classifier (features, columns)."""
    parts = getattr(classifier, "estimators_", [classifier])
    weights: Matrix = np.vstack([part.coef_ for part in parts]).T
    return weights


def _rounded(
    vectorizer: "TfidfVectorizer", fitted: _Fitted, labels: Sequence[str], levels: int
) -> LinearModel:
    """A fitted classifier with its weights rounded."""
    coefficients = _coefficients(fitted.classifier)
    parts = getattr(fitted.classifier, "estimators_", [fitted.classifier])
    bias = np.concatenate([np.atleast_1d(part.intercept_) for part in parts])
    scale = np.abs(coefficients).max(0).clip(1e-12) / levels
    weights = np.rint(coefficients / scale).astype(np.int8)
    ngrams = vectorizer.get_feature_names_out()[fitted.chosen].tolist()
    idf = vectorizer.idf_[fitted.chosen]
    return LinearModel(ngrams, idf, weights, scale, bias, list(labels))


def _numbers(examples: Examples, labels: Sequence[str]) -> Indices:
    """The number of each example's class (n,)."""
    number = {label: i for i, label in enumerate(labels)}
    return np.array([number[label] for label in examples.labels])


def _classes(scores: Matrix) -> Indices:
    """The class of each text from its scores (n, columns)."""
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).astype(np.int64)
    classes: Indices = scores.argmax(1)
    return classes


def _compressed(contents: bytes) -> npt.NDArray[np.uint8]:
    """Bytes as small as xz makes them, without its container's checksums."""
    return np.frombuffer(lzma.compress(contents, lzma.FORMAT_ALONE, preset=9), np.uint8)
