"""Turn Hydra's configuration into checked settings, and define the identity of a run.

Each option group (`dataset`, `vectors`, `network`, `method`, `schedule`) names a class with
`_target_`. The options of the group are the keyword parameters of that class. So a user's own class
is checked as strictly as ours.
"""

import dataclasses
import functools
import hashlib
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ccompress import cores, storage
from ccompress.config.options import (
    build,
    factory,
    located,
    merged,
    options_of,
    refuse_unknown,
)
from ccompress.config.schema import GROUPS, SECTIONS, Schedule, Schema, Vocab
from ccompress.config.source_code import source_sha256
from ccompress.data.base import Dataset, default_root
from ccompress.data.vectors.sources import Auto, ImdbGlove, Vectors
from ccompress.errors import InputError, MissingData, nearest
from ccompress.locate import first_path, path_of
from ccompress.numerics.rates import kept_fraction

if TYPE_CHECKING:
    from ccompress.methods.base import Method

# Raise this number when a change of the code alters results.
PROTOCOL = 2

POLICIES = ("train", "train+vectors")
PRECISIONS = ("float32", "tf32")
RESTS = ("float32", "int8", "int4")
OPTIMIZERS = ("adam", "sgd", "rmsprop", "adagrad")  # of ccompress.training, which imports torch
REFERENCES = ("auto", "skip")

# Options that are newer than many committed runs, whose IDs their defaults must not change.
_LATER = {"ngrams": 1, "precision": "float32", "optimizer": "adam", "rest": "float32"}


@dataclass(frozen=True)
class Settings:
    """The checked settings of one run.

    Attributes:
        network: Builds the network from an embedding, its width and the number of classes.
        names: Group -> the option chosen in it, such as `sst2`.
        resolved: The whole configuration as plain values, as config.yaml stores it.
        files: Option -> SHA-256 of the file that the option names.
        sources: Group (or `tokenizer`) -> SHA-256 of the source code of its class, for each class
            that is not part of `ccompress`.
    """

    dataset: Dataset
    vectors: Vectors
    network: functools.partial[Any]
    method: "Method"
    schedule: Schedule
    vocab: Vocab
    epochs: int
    batch_size: int
    rate: float
    seed: int
    rest: str
    optimizer: str
    device: str
    precision: str
    threads: int
    save_model: bool
    reference: str
    quiet: bool
    force: bool
    root: Path
    results_dir: Path
    runs_dir: Path
    experiment_name: str | None
    names: Mapping[str, str]
    resolved: Mapping[str, Any]
    files: Mapping[str, str]
    sources: Mapping[str, str]

    @property
    def ngrams(self) -> int:
        """The most words of an n-gram that the network reads: its option `ngrams`, or 1."""
        return int(self.resolved["network"].get("ngrams", 1))

    @property
    def data_identity(self) -> dict[str, Any]:
        """Everything that the prepared data depend on."""
        return {
            "dataset": self._described("dataset"),
            "vectors": self._described("vectors"),
            "vocab": self.resolved["vocab"],
            **self._sources("dataset", "tokenizer", "vectors"),
            **self._later("ngrams"),
        }

    @property
    def reference_identity(self) -> dict[str, Any]:
        """Everything that the uncompressed network's training depends on, except its length."""
        return {
            **self.data_identity,
            "network": self._described("network"),
            "schedule": self._described("schedule"),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "protocol": PROTOCOL,
            **self._sources("network", "schedule"),
            **self._later("precision", "optimizer"),
        }

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the results depend on; it excludes the machine and all file locations."""
        return {
            **self.reference_identity,
            "method": self._described("method"),
            "epochs": self.epochs,
            "rate": self.rate,
            **self._sources("method"),
            **self._later("rest"),
        }

    @property
    def run_id(self) -> str:
        """The first twelve hexadecimal digits of the identity's digest."""
        return digest(self.identity)[:12]

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.runs_dir / self.run_id

    def _later(self, *options: str) -> dict[str, Any]:
        """Those options that differ from their defaults."""
        values = {option: getattr(self, option) for option in options}
        return {name: value for name, value in values.items() if value != _LATER[name]}

    def _sources(self, *owners: str) -> dict[str, str]:
        """The part of the identity for a user's own code; empty if all code is ours."""
        return {f"{owner}_source": self.sources[owner] for owner in owners if owner in self.sources}

    def _described(self, group: str) -> dict[str, Any]:
        """A group's options, with the first path of its class and the contents of its files."""
        options = dict(self.resolved[group])
        later = getattr(located(options["_target_"], group), "later_options", {})
        options = {
            key: value for key, value in options.items() if (key, value) not in later.items()
        }
        options["_target_"] = first_path(options["_target_"])
        for key, sha256 in self.files.items():
            owner, option = key.split(".")
            if owner == group:
                options[option] = sha256
        return options


def digest(value: Any) -> str:
    """SHA-256 of plain values, in hexadecimal digits; equal values give equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check(raw: DictConfig, names: Mapping[str, str]) -> Settings:
    """Check a composed configuration and build what it names.

    Args:
        raw: The configuration that Hydra composed.
        names: The option chosen in each group, such as `{"dataset": "sst2"}`.

    Raises:
        InputError: A key is unknown, a value has the wrong type or is out of range, or a file that
            the configuration names cannot be read.
    """
    _check_keys(raw, Schema, "")
    for section, schema in SECTIONS.items():
        _check_keys(raw[section], schema, section)
    config = merged(Schema, raw, "")
    plain = {group: options_of(raw[group], group, names[group]) for group in GROUPS}
    built = {group: build(plain[group], group) for group in GROUPS if group != "network"}
    built["network"] = factory(plain["network"], "network")
    _check_kinds(built)
    root = storage.expanded(config.data.root)
    named = {f"dataset.{key}": path for key, path in built["dataset"].files().items()}
    files = {key: _contents(key, path) for key, path in named.items()}
    built["dataset"].verify(root)
    vectors, read = _vectors(built["vectors"], built["dataset"], root)
    files |= {f"vectors.{key}": _contents(f"vectors.{key}", path) for key, path in read.items()}
    if vectors is not built["vectors"]:
        built["vectors"] = vectors
        plain["vectors"] = {"_target_": path_of(type(vectors)), **dataclasses.asdict(vectors)}
    _check_values(config)
    method = built["method"]
    rate = config.rate if method.uses_rate else 0.0
    kept_fraction(rate)  # refuses a number outside 0 <= rate < 1
    threads = config.threads or cores.threads()
    resolved: dict[str, Any] = {
        **typing.cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)),
        **plain,
        "rate": rate,
        "threads": threads,
    }
    return Settings(
        **built,
        vocab=Vocab(**resolved["vocab"]),
        epochs=config.train.epochs,
        batch_size=config.train.batch_size,
        rate=rate,
        seed=config.seed,
        rest=config.rest,
        optimizer=config.optimizer,
        device=config.device,
        precision=config.precision,
        threads=threads,
        save_model=config.save_model,
        reference=config.reference,
        quiet=config.quiet,
        force=config.force,
        root=root,
        results_dir=Path(config.results_dir),
        runs_dir=Path(config.runs_dir),
        experiment_name=config.experiment_name,
        names=dict(names),
        resolved=resolved,
        files=files,
        sources=_sources(plain),
    )


def _vectors(
    chosen: Vectors | Auto | ImdbGlove, dataset: Dataset, root: Path
) -> tuple[Vectors, dict[str, Path]]:
    """The vectors of a data set, and their files by option.

    Raises:
        MissingData: Files of the vectors are missing; the error also names the missing files of the
            data set, so that the user sees both at once.
    """
    try:
        vectors = chosen.resolve(dataset.vectors)
        return vectors, vectors.files(root)
    except MissingData as missing:
        try:
            dataset.require(root)
        except MissingData as too:
            raise too + missing from missing
        raise


def _sources(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 of the source code of the user's own classes and tokenizer, by group."""
    modules = {
        group: located(options["_target_"], group).__module__ for group, options in plain.items()
    }
    # Our own tokenizers have names without a module.
    modules["tokenizer"] = str(plain["dataset"].get("tokenizer", "")).rpartition(".")[0]
    sources = {owner: source_sha256(module) for owner, module in modules.items() if module}
    return {owner: sha256 for owner, sha256 in sources.items() if sha256}


def _check_keys(node: Any, schema: type, section: str) -> None:
    """Refuse a section of the configuration that lacks a key or has an unknown one."""
    known = [field.name for field in dataclasses.fields(schema)]
    if not isinstance(node, DictConfig):
        listed = ", ".join(f"{section}.{name}" for name in known)
        raise InputError(f"{section} takes no value, its options do: {listed}")
    refuse_unknown(node, known, section)
    for name in known:
        if name not in node or OmegaConf.is_missing(node, name):
            key = f"{section}.{name}" if section else name
            raise InputError(f"{key} has no value: give it one, without ~{key}")


def _check_kinds(built: Mapping[str, Any]) -> None:
    """Refuse an object of the wrong kind for its group, such as a network as a method."""
    from ccompress.methods.base import Method  # imported here, because --help needs no torch
    from ccompress.networks.base import Network

    kinds: dict[str, tuple[type, ...]] = {
        "dataset": (Dataset,),
        "vectors": (Vectors, Auto, ImdbGlove),
        "method": (Method,),
        "schedule": (Schedule,),
    }
    for group, kind in kinds.items():
        if not isinstance(built[group], kind):
            name = path_of(type(built[group]))
            raise InputError(f"{group}._target_: {name} is not a ccompress {group.capitalize()}")
    if not issubclass(network := built["network"].func, Network):
        raise InputError(f"network._target_: {path_of(network)} is not a ccompress Network")


def _check_values(config: Any) -> None:
    """Refuse values that are out of range."""
    for key, least in (("train.epochs", 1), ("train.batch_size", 1), ("vocab.min_count", 1)):
        if (value := OmegaConf.select(config, key)) < least:
            raise InputError(f"{key}={value}: it must be at least {least}")
    if config.vocab.max_size < 3:
        raise InputError(f"vocab.max_size={config.vocab.max_size}: <pad>, <unk> and a word need 3")
    if config.threads is not None and config.threads < 1:
        raise InputError(f"threads={config.threads}: it must be at least 1, or null for all cores")
    if config.target_bytes is not None:
        raise InputError(
            f"target_bytes={config.target_bytes}: it chooses among runs of its own, so it takes no "
            "sweep: leave out -m, and give one target at a time"
        )
    for key in ("results_dir", "runs_dir"):
        if not config[key]:
            raise InputError(f"{key} is empty: give a folder")
    if config.experiment_name is not None and not re.fullmatch(
        r"\w[\w.-]*", config.experiment_name
    ):
        raise InputError(
            f"experiment_name={config.experiment_name}: it names a folder under results_dir, "
            f"made of letters, digits, -, _ and ."
        )
    if not 0 <= config.seed < 2**31:
        raise InputError(f"seed={config.seed}: it must be a whole number from 0 to 2147483647")
    for key, value, known in (
        ("vocab.policy", config.vocab.policy, POLICIES),
        ("precision", config.precision, PRECISIONS),
        ("rest", config.rest, RESTS),
        ("optimizer", config.optimizer, OPTIMIZERS),
        ("reference", config.reference, REFERENCES),
    ):
        if value not in known:
            raise InputError(
                f"{key}={value}: it must be one of {', '.join(known)}{nearest(value, known)}"
            )
    check_device(config.device)


def check_device(name: str) -> None:
    """Refuse a text that cannot name a device; `choose_device` checks that the device exists."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        meant = f" (did you mean {name.replace('gpu', 'cuda')}?)" if name.startswith("gpu") else ""
        known = "auto, cpu, cuda, cuda:N (GPU number N)"
        raise InputError(f"device={name}: it must be one of {known}{meant}")


def check_train(hydra: Any) -> None:
    """Refuse `train=NAME` if no such file exists. Hydra accepts it, because the group is optional.

    Args:
        hydra: Hydra's own node of the configuration.

    Raises:
        InputError: There is no such file.
    """
    named = [text.partition("=")[2] for text in hydra.overrides.task if text.startswith("train=")]
    folders = [Path(source.path) / "train" for source in hydra.runtime.config_sources]
    known = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
    for name in named:
        if name not in known:
            raise InputError(
                f"train={name} is not known{nearest(name, known)}; it is one of {', '.join(known)}"
            )


def _contents(key: str, path: Path) -> str:
    """SHA-256 of the file that the option `key` names."""
    try:
        return storage.contents_sha256(path)
    except OSError as error:
        raise InputError(f"{key}: cannot read {path}: {error.strerror}") from error


def register_resolvers() -> None:
    """Register the resolvers that our YAML files use.

    `${data_root:}` is the default data root. `${times:a,b}` is the product of a and b.
    `${other_than:a,b}` is empty if b equals a, and otherwise `-b`.
    """
    OmegaConf.register_new_resolver("data_root", lambda: str(default_root()), replace=True)
    OmegaConf.register_new_resolver("times", lambda a, b: float(a) * float(b), replace=True)
    OmegaConf.register_new_resolver(
        "other_than", lambda usual, name: "" if name == usual else f"-{name}", replace=True
    )
