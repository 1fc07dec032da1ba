import importlib.metadata
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_data
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import MissingConfigException

import ccompress as package
from ccompress import cli
from ccompress.commands.verbs import VERBS

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tiny(tmp_path):
    return tiny_data.write(tmp_path / "data")


def test_help_explains_the_command_without_the_internals_of_hydra(console):
    shown = console("--help")
    assert shown.returncode == 0
    for text in (
        "how far can an embedding table shrink",
        "in_training_svd",
        "ccompress -m",
        "sst2",
    ):
        assert text in shown.stdout
    assert "hydra_logging" not in shown.stdout


def test_help_and_verbs_import_no_torch():
    code = (
        "import contextlib, sys, ccompress.cli as cli\n"
        "for line in sys.argv[1:]:\n"
        "    with contextlib.suppress(SystemExit): assert cli.command(line.split()) == 0, line\n"
        "    assert 'torch' not in sys.modules, line"
    )
    lines = ["--help", "runs", "data list", *(f"{verb} --help" for verb in VERBS)]
    command = [sys.executable, "-c", code, *lines]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_ours(ccompress):
    done = ccompress("--version")
    assert (done.returncode, done.stdout) == (0, f"ccompress {package.__version__}\n")
    assert package.__version__ == importlib.metadata.version("ccompress")


def test_dir_of_the_package_lists_only_its_public_names():
    names = {name for name in dir(package) if not name.startswith("__")}
    assert names == set(package.__all__)
    assert "__version__" in dir(package)


def test_hydras_own_options_work(ccompress, tiny):
    job = ccompress("--cfg", "job", "method=none")
    assert job.returncode == 0
    assert "_target_: ccompress.methods.none.NoCompression" in job.stdout
    assert ccompress("--info", "config").returncode == 0
    verbose = ccompress(*tiny, "hydra.verbose=true", "save_model=false")
    assert verbose.returncode == 0


def test_a_config_dir_of_ones_own(ccompress, tmp_path, tiny):
    schedules = tmp_path / "own" / "schedule"
    schedules.mkdir(parents=True)
    (schedules / "hot.yaml").write_text(
        "_target_: ccompress.schedules.FixedSchedule\nupper: 0.02\n"
    )
    options = ("--config-dir", str(tmp_path / "own"), "schedule=hot", "save_model=false")
    done = ccompress(*options, *tiny)
    assert done.returncode == 0, done.stderr
    assert "lr 2.00e-02" in done.stdout


def test_multirun_may_stand_anywhere(ccompress, tiny):
    done = ccompress("method=none", "-m", *tiny, "seed=0,1", "save_model=false")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are done" in done.stdout


BAD = [
    (["method=in_traning_svd"], "did you mean in_training_svd?"),
    (["rat=0.5"], "did you mean rate?"),
    (["+rat=0.5"], "did you mean rate?"),
    (["method.compress=0.5"], "method.compress"),
    (["rate=-0.1"], "0 <= rate < 1"),
    (["rate=1"], "0 <= rate < 1"),
    (["rate=much"], "rate"),
    (["rate=90%"], "could not be converted to Float (did you mean rate=0.9?)\n"),
    (["rate=90"], "rate=90.0 is out of range (did you mean rate=0.9?): give 0 <= rate < 1"),
    (["rate=9/10"], "(did you mean rate=0.9?)"),
    (["rate=0,9"], "(did you mean rate=0.9?): -m runs each of them"),
    (["seed=1-5"], "(did you mean -m and seed=range(1,6)?)"),
    (["-m", "seed=1-5"], "(did you mean -m and seed=range(1,6)?)"),
    (["train.epochs=10.0"], "(did you mean train.epochs=10?)"),
    (["network=LSTM"], "network=LSTM is not known (did you mean lstm?)"),
    (["device=gpu:1"], "(did you mean cuda:1?)"),
    (["--rate=0.9"], "--rate is not an option (did you mean rate=0.9?)"),
    (["--rate", "0.9"], "--rate is not an option (did you mean rate=0.9?)"),
    (["--quite"], "(did you mean --quiet?)"),
    (["rate=0.97"], "the largest rate that works is"),
    (["method=quantization", "rate=0.97"], "the largest rate that works is 0.96875"),
    (["device=cuda:x"], "one of auto, cpu, cuda"),
    (["precision=tf32"], "needs an NVIDIA GPU"),
    (["precision=half"], "one of float32, tf32"),
    (["runs_dir=/proc/nothing"], "runs_dir"),
    (["dataset.label=class"], "class"),
    (["vectors.path=nowhere.txt"], "nowhere.txt"),
    (["vectors.dim=7"], "16"),
    (["rate="], "rate: Value '' of type 'str' could not be converted"),
    (["~rate"], "rate has no value"),
    (["~vocab"], "vocab has no value"),
    (["vocab=null"], "vocab.policy, vocab.max_size"),
    (["network=null"], "one of dan, lstm"),
    (["-m", "network=null"], "one of dan, lstm"),
    (["schedule.upper=high"], "could not convert string to float: 'high'"),
    (["results_dir="], "results_dir is empty"),
    (["experiment_name=../mine"], "names a folder under results_dir"),
    (["rate=0.5,0.6"], "-m runs each of them"),
    (["train=trec_dann"], "did you mean trec_dan?"),
    (["train.epoch=1"], "did you mean train.epochs?"),
    (["network.hiden=50"], "network.hiden is not known (did you mean network.hidden?)"),
    (["+network.hiden=50"], "network.hiden is not known (did you mean network.hidden?)"),
    (["-m", "network.hiden=50,60"], "did you mean network.hidden?"),
    (["hidden=50"], "did you mean network.hidden?"),
    (["epochs=3"], "did you mean train.epochs?"),
    (["network.units=50"], "network.units is not known; "),
    (["network.batch_size=50"], "did you mean train.batch_size?"),
    (["method.compress_at=0.5", "method=none"], "it is an option of method=in_training_svd, "),
    (["lr=0.1"], "lr is not known (the learning rate is schedule.upper)"),
    (["learning_rate=0.1"], "(the learning rate is schedule.upper)"),
    (["train.lr=0.1"], "train.lr is not known (the learning rate is schedule.upper)"),
    (["+train.lr=0.1"], "train.lr is not known (the learning rate is schedule.upper)"),
    (["-m", "train.lr=0.1,0.2"], "(the learning rate is schedule.upper)"),
    (["optimizer.lr=0.1"], "(the learning rate is schedule.upper)"),
    (["optimizer=sdg"], "it must be one of adam, sgd, rmsprop, adagrad (did you mean sgd?)"),
    (["momentum=0.9"], "of its options only the learning rate can be chosen, schedule.upper"),
    (["train.weight_decay=0.1"], "only the learning rate can be chosen, schedule.upper)"),
    (["network.hidden=-3"], "at least 1"),
    (["network.dropout=2"], "below 1"),
    (["reprot"], "did you mean report?"),
    (["rate", "=", "0.9"], "rate = 0.9: write rate=0.9, without blanks"),
    (["baseline", "--ouput", "x"], "did you mean --out?"),
    (["report", "nothing"], "nothing"),
    (["runs", "nothing"], "'nothing' is neither a folder nor an experiment"),
    (["data", "fetch", "sst3"], "sst2"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: str(value))
def test_bad_input_is_one_line_and_exit_code_2(ccompress, tiny, tmp_path, arguments, message):
    verb = arguments[0].isalpha()
    done = ccompress(*arguments) if verb else ccompress(*tiny, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("ccompress: ")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.glob("results/runs/[!.]*")) == []  # refused input is not a run


NAMES = [
    "a=b.csv",
    "f (1).csv",
    "it's.csv",
    'say "so".csv',
    """both "of' them.csv""",
    "café.csv",
    "日本.csv",
    "a,b.csv",
    "~/x.csv",
    "[a].csv",
    "{a}.csv",
    "a#b;c&d!e.csv",
    "choice(a.csv)",
    '\\"a, b\\.csv',
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_that_hydra_cannot_read_is_shown_with_the_right_quotes(
    monkeypatch, capsys, name
):
    monkeypatch.setattr(sys, "argv", ["ccompress"])
    options = ["dataset=custom", "dataset.test=test.csv", "vectors=random"]
    assert cli.command([*options, f"dataset.train={name}"]) == 2
    message = capsys.readouterr().err.rstrip("\n")
    assert message.startswith(f"ccompress: dataset.train={name} ")
    assert "\n" not in message
    (typed,) = shlex.split(message.partition("quote it: ")[2])
    with pytest.raises(SystemExit, match="2"):
        cli.command([*options, typed])
    assert f"cannot read {Path(name).expanduser()}: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["rate", "a b=1"])
def test_an_argument_that_is_no_option_gives_an_error_of_one_line(monkeypatch, capsys, argument):
    monkeypatch.setattr(sys, "argv", ["ccompress"])
    assert cli.command(["seed=0", argument]) == 2
    expected = f"ccompress: {argument} cannot be read as KEY=VALUE; ccompress --help shows how"
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_missing_gpu_is_refused(ccompress, tiny, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    done = ccompress(*tiny, f"device={device}")
    assert done.returncode == 2
    assert f"ccompress: device={device}, but torch finds no CUDA device" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["reprot"], ["rat=0.5"], ["-m", "method=none,quantisation"], ["vectors.dim=7"]],
    ids=["verb", "key", "sweep", "run"],
)
def test_the_console_script_refuses_bad_input_like_the_command(console, ccompress, tiny, arguments):
    data = [] if arguments[0].isalpha() else tiny
    real, in_process = console(*data, *arguments), ccompress(*data, *arguments)
    assert (real.returncode, real.stdout, real.stderr) == (2, "", in_process.stderr)


BAD_FOR_HYDRA = [
    (["-m", "--cfg", "job"], "--cfg shows the configuration of one run: leave out -m"),
    (["--quiet", "report", "mine"], "`ccompress report --help` shows what it takes"),
    (["--resolve"], "can only be used in conjunction with --cfg"),
    (["--experimental-rerun", "nothing.pickle"], "nothing.pickle does not exist"),
    (["hydra.sweeper=null", "-m"], "sweeper is not configured"),
    (["-m", "seed=interval(0,1)"], "seed=interval(0,1): a sweep takes single values, such as seed"),
    (["-m", "hydra.sweeper.max_batch_size=0"], "it must be at least 1"),
    (["hydra.run.dir=elsewhere"], "give runs_dir=FOLDER"),
    (["-m", "hydra.sweep.dir=elsewhere"], "give runs_dir=FOLDER"),
    (["+hydra.sweep.subdir=elsewhere", "-m"], "give runs_dir=FOLDER"),
    (["hydra.output_subdir=elsewhere"], "give runs_dir=FOLDER"),
    (
        ["+experiment=demo"],
        "sweeps 12 combinations: add -m",
    ),
    (
        ["+experiment=demo", "network=dan", "rate=0.5"],
        "4 combinations: add -m, or give one value each of dataset, method\n",
    ),
    (["~vocab.min_count"], "vocab.min_count has no value"),
    (["-m", "device=cuda"], "no CUDA device"),
]


@pytest.mark.filterwarnings("ignore:Experimental rerun")
@pytest.mark.parametrize(("arguments", "message"), BAD_FOR_HYDRA, ids=lambda value: str(value))
def test_an_error_that_hydra_would_show_as_a_traceback_or_ignore_is_one_line(
    ccompress, tmp_path, arguments, message, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    done = ccompress(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_our_code_is_not_reported_as_an_error_of_hydra(ccompress, monkeypatch):
    def broken(*_):
        raise ValueError("a mistake in our code")

    monkeypatch.setattr(cli, "check_train", broken)
    with pytest.raises(ValueError, match="a mistake in our code"):
        ccompress("method=none")


def test_an_experiment_with_one_value_for_each_swept_option_is_one_run(ccompress):
    one = ["network=dan", "method=none", "rate=0.5", "train.epochs=1", "dataset=books"]
    done = ccompress("+experiment=demo", *one, "vectors.dim=16")
    assert done.returncode == 0, done.stderr
    assert "books, dan, none" in done.stdout


def test_a_missing_device_is_refused_even_if_the_run_is_finished(ccompress, tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    run = [*tiny, "method=none", "train.epochs=1"]
    assert ccompress(*run).returncode == 0
    for sweep in ([], ["-m"]):
        done = ccompress(*run, "device=cuda", *sweep)
        assert done.returncode == 2
        assert done.stderr == (
            "ccompress: device=cuda, but torch finds no CUDA device: use device=cpu or auto\n"
        )


def test_a_launcher_that_is_not_installed_names_the_extra(ccompress, monkeypatch):
    def compose(*_, **__):
        raise MissingConfigException("not found", "hydra/launcher/joblib", ["basic"])

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", compose)
    done = ccompress("-m", "hydra/launcher=joblib")
    assert done.returncode == 2
    assert "hydra/launcher=joblib needs more packages: " in done.stderr
    assert "[launchers]" in done.stderr


FILES = {
    "empty.txt": (b"", "empty"),
    "binary.txt": (bytes(range(256)) * 8, "binary.txt"),
    "truncated.txt.gz": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03K\xca", "truncated.txt.gz"),
    "ragged.txt": (b"a 1 2 3\nb 1 2 3\nc 1 2\n", "line 3"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_vectors_files(ccompress, tiny, tmp_path, name):
    contents, message = FILES[name]
    (tmp_path / name).write_bytes(contents)
    done = ccompress(*tiny, f"vectors.path={tmp_path / name}")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


TEXTS = {
    "no columns": (b"words,class\na b,x\n", "text"),
    "empty text": (b"text,label\nw1,class 0\n,class 1\n", "3"),
    "one class": (b"text,label\nw1,class 0\nw2,class 0\n", "one class"),
    "damaged UTF-8": ("text,label\nmüde,class 0\nw1 ü".encode()[:-1] + b",class 1\n", "UTF-8"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_bad_custom_files(ccompress, tiny, tmp_path, what):
    contents, message = TEXTS[what]
    (tmp_path / "bad.csv").write_bytes(contents)
    done = ccompress(*tiny, f"dataset.train={tmp_path / 'bad.csv'}")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_label_that_train_lacks_is_named(ccompress, tiny, tmp_path):
    (tmp_path / "new.csv").write_text("text,label\nw1,class 0\nw2,class 9\n")
    done = ccompress(*tiny, f"dataset.test={tmp_path / 'new.csv'}")
    assert done.returncode == 2
    assert "class 9" in done.stderr


def test_the_error_of_missing_data_names_the_command_that_fetches_them(ccompress, tmp_path):
    done = ccompress("dataset=sst2", "vectors=random", f"data.root={tmp_path}")
    assert done.returncode == 2
    assert "ccompress data fetch sst2" in done.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
def test_signals_end_the_command_at_once_with_a_clear_line(
    started, tmp_path, tiny, sent, code, sweep
):
    process = started(*sweep, *tiny, "train.epochs=9000")
    assert process.stdout is not None
    process.stdout.readline()  # the training has begun
    process.send_signal(sent)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "results").glob("runs/*/result.json"))


def test_an_option_may_stand_before_its_verb(ccompress):
    done = ccompress("--help", "runs", "clean")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ccompress runs clean")
    assert done.stdout == ccompress("runs", "clean", "--help").stdout
