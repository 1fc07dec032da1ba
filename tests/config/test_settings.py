import dataclasses
from pathlib import Path

import composing
import pytest
import tiny_data
from omegaconf import OmegaConf

import ccompress.config.settings
from ccompress import cores
from ccompress.config import schema
from ccompress.config.settings import check, digest
from ccompress.config.source_code import source_sha256
from ccompress.data.vectors.sources import Glove
from ccompress.errors import InputError


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Composes and checks overrides of the tiny data set, as the command line does."""
    tiny = tiny_data.write(tmp_path / "data")
    monkeypatch.chdir(tmp_path)

    def make(*overrides):
        other_vectors = any(override.startswith("vectors=") for override in overrides)
        kept = [o for o in tiny if not (other_vectors and o.startswith("vectors"))]
        return composing.settings(*kept, *overrides)

    return make


@pytest.mark.parametrize("group", ["network", "method", "schedule", "vectors"])
def test_every_option_of_every_group_composes_and_builds(settings, group):
    more = {
        "file": ["vectors.path=data/vectors.txt"],
        "auto": ["dataset.vectors=cooccurrence"],
        "glove": ["data.root=data"],
        "glove300": ["data.root=data"],
    }
    for dim in (100, 300):
        Path(f"data/glove.6B.{dim}d.txt").touch()
    for name in composing.options(group):
        chosen = settings(f"{group}={name}", *more.get(name, []))
        assert chosen.names[group] == name


def test_threads_are_the_cores_that_this_process_may_use(settings, monkeypatch):
    monkeypatch.setattr(cores, "threads", lambda: 3)
    assert settings("threads=null").threads == 3
    assert settings("threads=7").threads == 7


def test_options_that_do_not_change_the_results_are_not_in_the_id(settings):
    run_id = settings().run_id
    for override in (
        "device=cpu",
        "threads=2",
        "data.root=elsewhere",
        "runs_dir=elsewhere",
        "results_dir=elsewhere",
        "force=true",
        "save_model=false",
        "experiment_name=paper",
        "train.upper.clr=0.5",  # the schedule in use is calr
    ):
        assert settings(override).run_id == run_id, override


def test_options_that_change_the_results_are_in_the_id(settings):
    ids = [settings().run_id] + [
        settings(override).run_id
        for override in (
            "rate=0.8",
            "seed=1",
            "method=pre_training_svd",
            "method.compress_at=0.4",
            "network.hidden=9",
            "network=lstm",
            "schedule=clr",
            "schedule.decay=0.5",
            "train.upper.calr=0.5",
            "train.epochs=5",
            "train.batch_size=32",
            "vocab.min_count=2",
            "vocab.policy=train+vectors",
            "dataset.tokenizer=whitespace",
            "vectors=random",
        )
    ]
    assert len(set(ids)) == len(ids)


def test_the_contents_of_a_named_file_are_in_the_id(settings, tmp_path):
    before = settings().run_id
    moved = tmp_path / "moved.csv"
    moved.write_bytes((tmp_path / "data" / "train.csv").read_bytes())
    assert settings(f"dataset.train={moved}").run_id == before
    moved.write_bytes(moved.read_bytes() + b"w1 w2,class 1\n")
    assert settings(f"dataset.train={moved}").run_id != before
    vectors = tmp_path / "data" / "vectors.txt"
    vectors.write_text(vectors.read_text().replace("w0 ", "w99 "))
    assert settings().run_id != before


def test_a_published_data_set_with_other_contents_is_no_run_of_its_name(tmp_path):
    root = tmp_path / "root"
    words = ["dataset=trec", "vectors=random", f"data.root={root}"]
    composing.settings(*words)  # missing data are accepted: the run may be finished elsewhere
    (root / "trec").mkdir(parents=True)
    (root / "trec" / "train_5500.label").write_text("LOC:city Where is it ?\n")
    with pytest.raises(InputError, match=r"train_5500\.label is not what trec was published with"):
        composing.settings(*words)


def test_another_protocol_gives_another_id(settings, monkeypatch):
    before = settings().run_id
    monkeypatch.setattr(
        ccompress.config.settings, "PROTOCOL", ccompress.config.settings.PROTOCOL + 1
    )
    assert settings().run_id != before


def test_the_reference_is_one_run_for_all_rates(settings):
    assert settings("method=none", "rate=0.3").run_id == settings("method=none").run_id
    assert settings("method=none", "rate=0.3").rate == 0


def test_methods_of_one_column_share_their_reference_training(settings):
    identities = {
        digest(settings(f"method={method}", f"rate={rate}").reference_identity)
        for method in composing.options("method")
        for rate in (0.5, 0.9)
    }
    assert len(identities) == 1


def test_auto_vectors_give_the_id_of_the_vectors_that_they_choose(settings):
    auto = settings("vectors=auto", "dataset.vectors=cooccurrence")
    explicit = settings("vectors=cooccurrence", "dataset.vectors=cooccurrence")
    assert auto.run_id == explicit.run_id


@pytest.mark.parametrize(
    ("option", "default", "other"),
    [("precision", "float32", "tf32"), ("optimizer", "adam", "sgd")],
)
def test_a_newer_option_is_in_the_id_only_if_it_is_not_the_default(option, default, other):
    usual, explicit, changed = (
        composing.settings(*words) for words in ([], [f"{option}={default}"], [f"{option}={other}"])
    )
    assert option not in usual.reference_identity
    assert explicit.run_id == usual.run_id != changed.run_id
    assert changed.reference_identity[option] == other


def test_a_rounded_rest_gives_another_id_but_the_same_reference_training():
    usual, explicit, rounded = (
        composing.settings(*words) for words in ([], ["rest=float32"], ["rest=int8"])
    )
    assert "rest" not in usual.identity
    assert explicit.run_id == usual.run_id != rounded.run_id
    assert rounded.identity["rest"] == "int8"
    assert rounded.reference_identity == usual.reference_identity


@pytest.mark.parametrize(
    "experiment",
    "ablation beyond own_rates paper phrases schedules step tuned tuning vocabulary".split(),
)
def test_runs_with_other_vectors_have_their_own_results_folder(experiment, tmp_path):
    """The order of the two options on the command line does not matter."""
    (tmp_path / "glove.6B.300d.txt").touch()
    words = [f"+experiment={experiment}", "dataset=sst2", f"data.root={tmp_path}"]
    committed = composing.settings(*words)
    papers = composing.settings("vectors=glove300", *words)
    assert composing.settings(*words, "vectors=glove300").identity == papers.identity
    assert committed.experiment_name == experiment
    assert papers.experiment_name == f"{experiment}-glove300"
    assert papers.vectors == Glove(dim=300)
    published = (composing.CONF.parent / "results" / "vectors" / "README.md").read_text("utf-8")
    assert f"`{committed.files['vectors.path']}`" in published


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+nonsense=1", r"nonsense is not known"),
        (
            "+method.compress_to=1",
            r"method.compress_to is not known \(did you mean method.compress_at\?\)",
        ),
        ("+train.epoch=1", r"train.epoch is not known \(did you mean train.epochs\?\)"),
        ("precision=half", "one of float32, tf32"),
        ("rest=int2", "rest=int2: it must be one of float32, int8, int4"),
        ("device=cuda:", "one of auto, cpu, cuda"),
        ("rate=1", r"rate=1.0 is out of range: give 0 <= rate < 1"),
        ("rate=-0.1", "out of range"),
        ("rate=nan", "out of range"),
        ("rate=high", "rate: Value 'high'"),
        ("train.epochs=0", "at least 1"),
        ("train.epochs=many", "train.epochs: Value 'many'"),
        ("network.hidden=wide", "network.hidden: Value 'wide'"),
        ("threads=0", "at least 1"),
        ("seed=-1", "whole number from 0"),
        ("vocab.policy=trian", r"did you mean train\?"),
        ("vocab.max_size=2", "need 3"),
        ("device=gpu", "one of auto, cpu, cuda"),
        ("method.compress_at=1.0", "above 0 and below 1"),
        ("schedule.lower=0.5", "give 0 < lower < upper"),
        ("schedule.decay=1.5", "give 0 < decay < 1"),
        ("dataset.train=missing.csv", "dataset.train: cannot read missing.csv"),
        ("vectors.path=missing.txt", "missing.txt"),
        ("method._target_=ccompress.methods.nothing.Nothing", "cannot be imported"),
        ("method._target_=ccompress.data.prepare.prepare", "prepare is not a class"),
        ("method._target_=ccompress.config.settings.GROUPS", "GROUPS is not a class"),
        ("~vocab.min_count", "vocab.min_count has no value"),
        ("~train.upper", "train.upper has no value"),
    ],
)
def test_the_error_of_a_bad_value_says_what_would_be_right(settings, override, message):
    with pytest.raises(InputError, match=message) as raised:
        settings(override)
    assert "\n" not in str(raised.value)


OWN = """
import ccompress.networks

def tokenize(text):
    return text.split()

class Network(ccompress.networks.DAN):
    pass
"""


def test_the_source_of_a_users_code_is_in_the_ids_that_depend_on_it(
    settings, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    before = settings()
    assert not any(key.endswith("_source") for key in before.identity)

    def ids(override, text):
        """The ids of the run, its reference training and its data, if the code is `text`."""
        (tmp_path / "made_up_code.py").write_text(text)
        source_sha256.cache_clear()
        chosen = settings(override)
        parts = (chosen.identity, chosen.reference_identity, chosen.data_identity)
        return [digest(part) for part in parts]

    for override, depends in (
        ("network._target_=made_up_code.Network", [True, True, False]),
        ("dataset.tokenizer=made_up_code.tokenize", [True, True, True]),
    ):
        old, new = ids(override, OWN), ids(override, OWN.replace("pass", "pass  # changed"))
        assert [a != b for a, b in zip(old, new, strict=True)] == depends
        assert ids(override, OWN) == old
    source_sha256.cache_clear()


def test_the_resolved_configuration_holds_only_plain_values(settings):
    chosen = settings()
    assert OmegaConf.create(dict(chosen.resolved)) == OmegaConf.create(
        OmegaConf.to_yaml(OmegaConf.create(dict(chosen.resolved)))
    )
    assert {f.name for f in dataclasses.fields(schema.Schema)} == set(chosen.resolved)


@pytest.mark.parametrize(
    ("group", "node", "message"),
    [
        ("method", {}, "has no _target_"),
        (
            "method",
            {"_target_": "fractions.Fraction"},
            "Fraction is not a ccompress Method",
        ),
        ("method", {"_target_": "ccompress.methods.base.Method"}, "abstract"),
        ("method", {"_target_": "ccompress.networks.DAN"}, "missing 3 required"),
        (
            "network",
            {"_target_": "ccompress.methods.none.NoCompression"},
            "not a ccompress Network",
        ),
        (
            "schedule",
            {"_target_": "ccompress.methods.none.NoCompression"},
            "not a ccompress Schedule",
        ),
    ],
)
def test_a_class_of_another_kind_is_refused(settings, group, node, message):
    with pytest.raises(InputError, match=message):
        check(OmegaConf.create({**settings().resolved, group: node}), settings().names)
