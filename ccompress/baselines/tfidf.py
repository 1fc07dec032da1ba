"""The baseline without embeddings: TF-IDF of words and word pairs, and a linear classifier.

Dev decides everything: the classifier (logistic regression or a linear SVM), its regularisation,
the number of features, and the number of levels to which the weights are rounded. The result is a
list of models from the smallest file to the largest. Each is evaluated in its stored form, after
rounding.
"""

import itertools
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccompress import installation, storage
from ccompress.data.base import Examples, Splits
from ccompress.data.text import word_list
from ccompress.errors import InputError

FEATURES = (1000, 2000, 4000, 8000, 16000, 32000)
REGULARISATION = (0.25, 1.0, 4.0)  # values of C, the inverse strength
LEVELS = (127, 15, 7, 3)  # weights are rounded to -levels, ..., levels, times a scale per class

_IDF_LEVELS = 255
_SEPARATOR = "\n"

Matrix = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LinearModel:
    """A stored baseline.

    With two classes there is one column of weights, whose sign decides. With more classes there is
    one column per class.

    Attributes:
        ngrams: F words and pairs of words, sorted. A space joins the words of a pair.
        idf: The inverse document frequency of each, rounded to its stored value (F,).
        weights: The rounded weights, -levels to levels, int8 (F, columns).
        scale: The value of one level in each column (columns,).
        bias: The bias of each column (columns,).
        labels: Names of the classes.
    """

    ngrams: list[str]
    idf: Matrix
    weights: npt.NDArray[np.int8]
    scale: Matrix
    bias: Matrix
    labels: list[str]

    def predict(self, texts: Sequence[Sequence[str]]) -> Indices:
        """The class number of each tokenized text (n,)."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(vocabulary=self.ngrams, **_ANALYSIS)
        vectorizer.idf_ = self.idf
        return _classes(vectorizer.transform(texts) @ (self.weights * self.scale) + self.bias)

    def save(self, path: Path) -> int:
        """Write the model atomically and return the size of the file in bytes."""
        lowest, step = self.idf.min(), np.ptp(self.idf) / _IDF_LEVELS or 1.0
        tensors = {
            "ngrams": word_list.pack(self.ngrams),
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
        """Read a file that `save` wrote.

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
            word_list.unpack(tensors["ngrams"]),
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
        file_bytes: The size of the file.
        dev_accuracy: The accuracy on dev in percent.
        test_accuracy: The accuracy on test in percent.
        features: The number of words and pairs of words.
        levels: The number of levels of the weights on either side of 0.
        classifier: The kind of classifier and its regularisation.
    """

    file_bytes: int
    dev_accuracy: float
    test_accuracy: float = field(compare=False)
    features: int = field(compare=False)
    levels: int = field(compare=False)
    classifier: str = field(compare=False)


def train(splits: Splits, folder: Path) -> list[Point]:
    """Train baselines of all sizes, and keep each that is better on dev than all smaller ones.

    The test split is read once, for the baselines that are kept.

    Args:
        splits: Tokenized examples.
        folder: The folder for the files `tfidf-FEATURES-LEVELS.safetensors`.

    Returns:
        The baselines that were kept, from the smallest file to the largest. Dev accuracy rises with
        the size.

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


# The texts are already tokenized. The logarithm of the count (sublinear_tf) reduces the influence
# of words that a long text repeats.
_ANALYSIS: dict[str, Any] = {
    "tokenizer": _identity,
    "token_pattern": None,
    "lowercase": False,
    "ngram_range": (1, 2),
    "sublinear_tf": True,
}


def _candidates(splits: Splits, labels: Sequence[str]) -> Iterator[tuple[LinearModel, str, int]]:
    """Models of all sizes, each with the name of its classifier and its number of levels."""
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
        """The best choice and order of features on dev; the first in a tie."""
        fitted = []
        for choice, order in itertools.product(choices, orders):
            chosen = np.sort(order[:size])
            classifier = choice.unfitted().fit(train[:, chosen], targets)
            score = float(np.mean(classifier.predict(dev[:, chosen]) == dev_targets))
            fitted.append(_Fitted(score, choice, chosen, classifier))
        return max(fitted, key=lambda candidate: candidate.dev_score)

    everything = np.arange(train.shape[1])
    kinds = ("logistic regression", "linear SVM")
    choices = [_Choice(kind, strength) for strength in REGULARISATION for kind in kinds]
    whole = best(choices, [everything], len(everything))
    # To use fewer features, take those with the largest weight in any class, or those that
    # discriminate best between the classes (chi2).
    orders = [
        np.argsort(-np.abs(_coefficients(whole.classifier)).max(1), kind="stable"),
        np.argsort(-np.nan_to_num(chi2(train, targets)[0]), kind="stable"),
    ]
    # With fewer features the classifier fits less well, so weaker regularisation may be better.
    kind, strength = whole.choice
    choices = [whole.choice, _Choice(kind, 4 * strength)]
    sizes = [size for size in FEATURES if size < len(everything)]
    names, idf = vectorizer.get_feature_names_out(), vectorizer.idf_
    for fitted in itertools.chain((best(choices, orders, size) for size in sizes), [whole]):
        for levels in LEVELS:
            yield (
                _rounded(names, idf, fitted, labels, levels),
                str(fitted.choice),
                levels,
            )


class _Choice(NamedTuple):
    """The kind of a classifier, and C, the inverse strength of its regularisation."""

    kind: str
    strength: float

    def __str__(self) -> str:
        return f"{self.kind}, C = {self.strength:g}"

    def unfitted(self) -> Any:
        """A new classifier of this choice, not yet fitted."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.svm import LinearSVC

        if self.kind == "linear SVM":
            return LinearSVC(C=self.strength, random_state=0)
        binary = LogisticRegression(C=self.strength, solver="liblinear", random_state=0)
        return OneVsRestClassifier(binary)


class _Fitted(NamedTuple):
    """A classifier that was fitted on the features `chosen`."""

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
    names: npt.NDArray[np.object_],
    idf: Matrix,
    fitted: _Fitted,
    labels: Sequence[str],
    levels: int,
) -> LinearModel:
    """A fitted classifier with its weights rounded."""
    coefficients = _coefficients(fitted.classifier)
    parts = getattr(fitted.classifier, "estimators_", [fitted.classifier])
    bias = np.concatenate([np.atleast_1d(part.intercept_) for part in parts])
    scale = np.abs(coefficients).max(0).clip(1e-12) / levels
    weights = np.rint(coefficients / scale).astype(np.int8)
    ngrams = names[fitted.chosen].tolist()
    return LinearModel(ngrams, idf[fitted.chosen], weights, scale, bias, list(labels))


def _numbers(examples: Examples, labels: Sequence[str]) -> Indices:
    """The class number of each example (n,)."""
    number = {label: i for i, label in enumerate(labels)}
    return np.array([number[label] for label in examples.labels])


def _classes(scores: Matrix) -> Indices:
    """The class of each text from its scores (n, columns)."""
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).astype(np.int64)
    classes: Indices = scores.argmax(1)
    return classes


def _compressed(contents: bytes) -> npt.NDArray[np.uint8]:
    """Bytes compressed with LZMA, in the old format, which stores no checksums."""
    return np.frombuffer(lzma.compress(contents, lzma.FORMAT_ALONE, preset=9), np.uint8)
