"""The baseline without embeddings: TF-IDF of words and word pairs, and a linear classifier.

Dev decides everything: the classifier (logistic regression or a linear SVM), its regularisation,
the number of features, and the number of levels to which the weights are rounded. The result is a
list of models from the smallest file to the largest. Each is evaluated in its stored form, after
rounding.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccompress import installation
from ccompress.data.base import Columns, Examples, Splits
from ccompress.deployment.linear import LinearModel, Matrix
from ccompress.errors import InputError

FEATURES = (1000, 2000, 4000, 8000, 16000, 32000)
REGULARISATION = (0.25, 1.0, 4.0)  # values of C, the inverse strength
LEVELS = (127, 15, 7, 3)  # weights are rounded to -levels, ..., levels, times a scale per class

# The temperatures among which dev chooses one.
_TEMPERATURES = (0.05, 20.0)

Indices = npt.NDArray[np.int64]


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

    @property
    def file(self) -> str:
        """The name of its file."""
        return _file(self.features, self.levels)


def _file(features: int, levels: int) -> str:
    return f"tfidf-{features}-{levels}.safetensors"


def train(
    splits: Splits, folder: Path, tokenizer: str, columns: Columns | None = None
) -> list[Point]:
    """Train baselines of all sizes, and keep each that is better on dev than all smaller ones.

    The test split is read once, for the baselines that are kept.

    Args:
        splits: Tokenized examples.
        folder: The folder for the files (`Point.file`), which `ccompress.load` reads.
        tokenizer: The tokenizer of the examples.
        columns: The columns of the user's own table that they come from, if there is one.

    Returns:
        The baselines that were kept, from the smallest file to the largest. Dev accuracy rises with
        the size.

    Raises:
        InputError: scikit-learn is not installed.
    """
    labels = sorted(set(splits.train.labels))
    make = functools.partial(LinearModel, labels=labels, tokenizer=tokenizer, columns=columns)
    tried = []
    for model, classifier, levels in candidates(splits, labels, make):
        path = folder / _file(len(model.ngrams), levels)
        size = model.save(path)
        score = accuracy(LinearModel.load(path), splits.dev)
        tried.append((size, -score, path, classifier, levels))
    line: list[Point] = []
    best = -1.0
    for size, loss, path, classifier, levels in sorted(tried):
        if -loss <= best:
            path.unlink()
            continue
        best, model = -loss, LinearModel.load(path)
        calibrated(model, splits.dev).save(path)
        test = accuracy(model, splits.test)
        line.append(Point(size, best, test, len(model.ngrams), levels, classifier))
    return line


def accuracy(model: LinearModel, examples: Examples) -> float:
    """Accuracy on tokenized examples, in percent."""
    true = _numbers(examples, model.labels)
    return 100.0 * float(np.mean(model.scores(examples.tokens).argmax(1) == true))


def calibrated(model: LinearModel, dev: Examples) -> LinearModel:
    """The same model with probabilities that fit dev; the labels that it predicts stay.

    All scores are multiplied by the number at which dev is most probable, the inverse of the
    temperature of Guo et al. (2017), section 4.2, since scores of a linear SVM are no logarithms of
    probabilities. Of n texts, 1/(n + 2) of each label's share goes to all labels, much as in Platt
    (1999): otherwise a model that is right on all of dev would be sure of everything.
    """
    from scipy.optimize import minimize_scalar

    scores, true = model.scores(dev.tokens), _numbers(dev, model.labels)
    share = 1 / (len(true) + 2)
    expected = (1 - share) * scores[np.arange(len(true)), true] + share * scores.mean(1)

    def loss(exponent: float) -> float:
        times = np.exp(exponent)
        return float(np.mean(np.logaddexp.reduce(times * scores, axis=1) - times * expected))

    found = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded")
    times = np.exp(found.x)
    return replace(model, scale=model.scale * times, bias=model.bias * times)


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


def candidates(
    splits: Splits, labels: Sequence[str], make: Callable[..., LinearModel]
) -> Iterator[tuple[LinearModel, str, int]]:
    """Models of all sizes, each with the name of its classifier and its number of levels.

    Args:
        splits: Tokenized examples.
        labels: Names of the classes.
        make: Makes a model from its n-grams and numbers.
    """
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
            model = make(
                names[fitted.chosen].tolist(),
                idf[fitted.chosen],
                *_rounded(fitted.classifier, levels),
            )
            yield model, str(fitted.choice), levels


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


def _rounded(classifier: Any, levels: int) -> tuple[npt.NDArray[np.int8], Matrix, Matrix]:
    """Weights, scale and bias of a fitted classifier, the weights rounded (`LinearModel`)."""
    coefficients = _coefficients(classifier)
    parts = getattr(classifier, "estimators_", [classifier])
    bias = np.concatenate([np.atleast_1d(part.intercept_) for part in parts])
    scale = np.abs(coefficients).max(0).clip(1e-12) / levels
    return np.rint(coefficients / scale).astype(np.int8), scale, bias


def _numbers(examples: Examples, labels: Sequence[str]) -> Indices:
    """The class number of each example (n,)."""
    number = {label: i for i, label in enumerate(labels)}
    return np.array([number[label] for label in examples.labels])
