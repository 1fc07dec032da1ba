import ast
import importlib.util
import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import encoded
from small_model import LABELS, OPTIONS, store, words

from ccompress import cli, storage
from ccompress.commands.export import SUFFIXES, main
from ccompress.data.batches import evaluation_batches
from ccompress.data.text.tokenizers import TOKENIZERS
from ccompress.deployment import export, model
from ccompress.errors import InputError
from ccompress.experiment.results import size
from ccompress.networks.base import tensor_bytes
from ccompress.networks.dan import DAN

ROWS = 20_000  # a table in float32 would make the file noticeably larger
CASES = [("dan", kind) for kind in ("whole", "factors", "3", "8", "16", "25")]
CASES += [("dan", kind) for kind in ("byte factors", "codebook", "product", "mixed")]
CASES += [("lstm", "factors"), ("lstm", "4")]


def sentences(count, longest):
    """Random sentences as rows of the table (count, longest), padded with 0.

    The first sentence is the longest. If there are several, the last one has no words.
    """
    draw = torch.Generator().manual_seed(count)
    tokens = torch.randint(1, ROWS, (count, longest), generator=draw)
    lengths = torch.randint(1, longest + 1, (count, 1), generator=draw)
    lengths[-1] = 0
    lengths[0] = longest
    return tokens.masked_fill(torch.arange(longest) >= lengths, 0)


def expected(small, tokens):
    """The probabilities of the stored model for these sentences."""
    texts = [" ".join(small.words[i] for i in row if i) for row in tokens.tolist()]
    return small.probabilities(texts)


SHAPES = [(1, 1), (1, 7), (5, 1), (9, 13)]


@pytest.mark.parametrize(("network", "kind"), CASES)
def test_onnx_runtime_gives_the_same_probabilities_and_the_table_stays_small(
    tmp_path, capsys, network, kind
):
    onnx = pytest.importorskip("onnx", reason="needs the extra [export]")
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [export]")
    path, _ = store(tmp_path, network, kind, ROWS)
    file = tmp_path / "model.onnx"
    assert cli.command(["export", str(path), "--format", "onnx", "--out", str(file)]) == 0
    small = model.load(path)
    session = onnxruntime.InferenceSession(file)
    for shape in SHAPES:
        tokens = sentences(*shape)
        (probabilities,) = session.run(None, {"tokens": tokens.numpy()})
        assert np.abs(probabilities - expected(small, tokens).numpy()).max() < 1e-4

    tensors = tensor_bytes(small.network)
    assert file.stat().st_size <= 1.02 * tensors + 65536
    graph = onnx.load(file)
    onnx.checker.check_model(graph, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    operators = {node.op_type for node in graph.graph.node}
    if kind.isdigit():
        assert types["network.embedding.packed"] == onnx.TensorProto.UINT8
        assert ("DequantizeLinear" in operators) == (kind in ("8", "16"))
        assert ({"BitShift", "BitwiseAnd"} <= operators) == (kind != "8")
    assert graph.opset_import[0].version == export.OPSET
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(metadata["labels"]) == LABELS
    assert str(Path(torch.__file__).parent).encode() not in file.read_bytes()

    described = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert described["words"] == small.words
    assert sorted(described["words"]) == sorted(words(ROWS))
    assert (described["labels"], described["tokenizer"]) == (LABELS, "whitespace")
    assert str(file) in capsys.readouterr().out


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Runs Python in an environment with only numpy, onnxruntime and tokenizers."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (site,) = folder.glob("lib/*/site-packages")
    for name in ("numpy", "onnxruntime", "tokenizers"):
        pytest.importorskip(name, reason="needs the extra [export]")
        package = Path(importlib.util.find_spec(name).origin).parent
        for part in (package, package.with_name(f"{name}.libs")):
            if part.is_dir():
                (site / part.name).symlink_to(part)
    # The texts are UTF-8, even if the locale is not.
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    def run(*arguments, stdin=""):
        return subprocess.run(
            [folder / "bin" / "python", *arguments],
            input=stdin,
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )

    for name in ("ccompress", "torch", "torchtext", "safetensors"):
        done = run("-c", f"import {name}")
        assert f"No module named {name!r}" in done.stderr
    return run


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_an_exported_folder_answers_as_predict_does_without_this_package(
    tmp_path, capsys, elsewhere, tokenizer
):
    path, _ = store(tmp_path, "lstm", "factors", 60)
    tensors, metadata = storage.load(path)
    storage.save(path, tensors, {**metadata, "tokenizer": tokenizer})
    assert cli.command(["export", str(path), "--format", "onnx"]) == 0
    folder = tmp_path / "onnx"
    assert {file.name for file in folder.iterdir()} == {
        "labels.json",
        "model.onnx",
        "predict.py",
        "tokenizer.json",
    }
    assert f"python {folder / 'predict.py'} < texts.txt" in capsys.readouterr().out
    assert json.loads((folder / "labels.json").read_text(encoding="utf-8")) == LABELS
    moved = folder.rename(tmp_path / "moved")

    texts = ['W5 w7, "w39" Wörter', "", "w2", " \t ", "<pad> w3; (w4) w4"]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts), encoding="utf-8")
    done = elsewhere(str(moved / "predict.py"), stdin=file.read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert cli.command(["predict", str(path), str(file), "--format", "jsonl"]) == 0
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answers == [
        row | {"probability": row["probability"] and pytest.approx(row["probability"], abs=1e-5)}
        for row in expected
    ]
    # The program is also a module that takes several texts at once.
    call = f"import sys; sys.path.insert(0, {str(moved)!r}); import predict; "
    done = elsewhere("-c", f"{call}print(predict.predict({texts!a}), predict.predict(['', '']))")
    labels = [row["label"] for row in expected]
    assert [label for label, _ in ast.literal_eval(done.stdout.partition("] ")[0] + "]")] == labels
    assert done.stdout.strip().endswith("[(None, None), (None, None)]")


@pytest.fixture
def of_pairs(tmp_path):
    """The file of a network that reads pairs and triples of words, of which some have rows."""
    described = {"_target_": "ccompress.networks.DAN", "hidden": 6, "ngrams": 3}
    path, net = store(tmp_path, described, "mixed", 60)
    names = [*words(40), *(f"w{i} w{i + 1}" for i in range(2, 20)), "w5 w6 w7", "w6 w6 w6"]
    config = {"network": described}
    model.save(path, model.Model(net, names, LABELS, "whitespace", config))
    return path


def test_onnx_reads_ngrams_as_predict_does_without_this_package(
    of_pairs, tmp_path, capsys, elsewhere
):
    small = model.load(of_pairs)
    place = {word: row for row, word in enumerate(small.words)}
    read = [small.words[row] for row in small.encode("w5 w6 w7 never w7 w8 <pad> w39")]
    single = ["w5", "w6", "w7", "<unk>", "w7", "w8", "<unk>", "w39"]
    assert read == [*single, "w5 w6", "w6 w7", "w7 w8", "w5 w6 w7"]
    assert small.encode("w6 w6 w6") == [place["w6"]] * 3 + [place["w6 w6 w6"]]

    assert cli.command(["export", str(of_pairs), "--format", "onnx"]) == 0
    assert "predict.py adds the n-grams" in capsys.readouterr().out
    texts = ["w5 w6 w7 never w7 w8 <pad> w39", "w6 w6 w6 w6", "", "w2", "w9 w10"]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts), encoding="utf-8")
    assert cli.command(["predict", str(of_pairs), str(file), "--format", "jsonl"]) == 0
    expected = [json.loads(line)["probability"] for line in capsys.readouterr().out.splitlines()]
    call = f"import sys; sys.path.insert(0, {str(tmp_path / 'onnx')!r}); import predict; "
    done = elsewhere("-c", f"{call}print([p for _, p in predict.predict({texts!a})])")
    assert done.returncode == 0, done.stderr
    given = ast.literal_eval(done.stdout)
    assert given == [p and pytest.approx(p, abs=1e-5) for p in expected]
    words_alone = small.network(next(iter(evaluation_batches(small_split(small, "w9", "w10")))))
    assert words_alone.softmax(1).max().item() != pytest.approx(expected[4], abs=1e-3)


def small_split(small, *words):
    rows = [small.words.index(word) for word in words]
    return encoded([rows])


def test_a_model_with_a_users_tokenizer_is_exported_as_files_and_not_as_a_folder(tmp_path, capsys):
    pytest.importorskip("tokenizers", reason="needs the extra [export]")
    path, net = store(tmp_path)
    config = {"network": OPTIONS["dan"]}
    model.save(path, model.Model(net, words(40), LABELS, "shlex.split", config))
    arguments = ["export", str(path), "--format", "onnx", "--trust", "shlex"]
    assert cli.command([*arguments, "--out", str(tmp_path / "folder")]) == 2
    assert "cannot hold the tokenizer shlex.split" in capsys.readouterr().err
    assert cli.command([*arguments, "--out", str(path)]) == 2
    assert "is a file: give a folder, or FILE.onnx" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
    assert cli.command(arguments) == 0
    assert "no folder: tokenizer.json cannot hold shlex.split" in capsys.readouterr().out
    written = {"model.json", "model.onnx", "model.safetensors"}
    assert {file.name for file in tmp_path.iterdir()} == written


def test_an_exported_model_has_the_rounded_rest(tmp_path):
    pytest.importorskip("onnx", reason="needs the extra [export]")
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [export]")
    _, net = store(tmp_path, "dan", "mixed", 300)
    config = {"network": OPTIONS["dan"], "rest": "int4"}
    path = tmp_path / "rounded.safetensors"
    model.save(path, model.Model(net, words(300), LABELS, "whitespace", config))
    file = tmp_path / "rounded.onnx"
    assert main([str(path), "--format", "onnx", "--out", str(file)]) == 0
    session = onnxruntime.InferenceSession(file)
    tokens = sentences(9, 13) % 300
    (probabilities,) = session.run(None, {"tokens": tokens.numpy()})
    small = model.load(path)
    assert np.abs(probabilities - expected(small, tokens).numpy()).max() < 1e-5
    unrounded = model.load(store(tmp_path, "dan", "mixed", 300)[0])
    assert unrounded.words == small.words
    assert np.abs(probabilities - expected(unrounded, tokens).numpy()).max() > 1e-3


@pytest.mark.parametrize("network", ["dan", "lstm"])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_rounded_rest_is_stored_as_integers(tmp_path, capsys, network, precision):
    onnx = pytest.importorskip("onnx", reason="needs the extra [export]")
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [export]")
    options = {**OPTIONS[network], "hidden": 80}
    _, net = store(tmp_path, options, "mixed", 300)
    config = {"network": options, "rest": precision}
    path, file = tmp_path / "rounded.safetensors", tmp_path / "rounded.onnx"
    model.save(path, model.Model(net, words(300), LABELS, "whitespace", config))
    assert main([str(path), "--format", "onnx", "--out", str(file)]) == 0
    sizes = [size(each.stat().st_size) for each in (file, path)]
    assert f"{sizes[0]}, rounded.safetensors {sizes[1]}" in capsys.readouterr().out
    graph = onnx.load(file)
    onnx.checker.check_model(graph, full_check=True)
    stored = [each for each in graph.graph.initializer if each.name.endswith(".integers")]
    assert {each.data_type for each in stored} == {getattr(onnx.TensorProto, precision.upper())}
    numbers = sum(np.prod(each.dims) for each in stored)
    matrices = [p.numel() for n, p in net.named_parameters() if p.dim() == 2 and "emb" not in n]
    assert numbers == sum(count for count in matrices if count >= 256) - (
        # The first layer is folded to the rank.
        80 * (1 if network == "dan" else 4) * (net.width - model.load(path).network.width)
    )
    floats = sum(
        np.prod(each.dims)
        for each in graph.graph.initializer
        if each.data_type == onnx.TensorProto.FLOAT and "embedding" not in each.name
    )
    assert floats < 2000  # steps, biases and the smallest matrices
    session = onnxruntime.InferenceSession(file)
    tokens = sentences(9, 13) % 300
    (probabilities,) = session.run(None, {"tokens": tokens.numpy()})
    assert np.abs(probabilities - expected(model.load(path), tokens).numpy()).max() < 1e-5


@pytest.mark.parametrize(("network", "kind"), [("dan", "factors"), ("dan", "3"), ("lstm", "8")])
def test_torch_reads_the_program_without_this_package(tmp_path, network, kind):
    path, _ = store(tmp_path, network, kind, ROWS)
    file = tmp_path / "small.pt2"
    assert main([str(path), "--format", "torch_export", "--out", str(file)]) == 0
    small = model.load(path)
    program = torch.export.load(file).module()
    for shape in SHAPES:
        tokens = sentences(*shape)
        probabilities = program(tokens)
        assert torch.allclose(probabilities, expected(small, tokens), atol=1e-6)
        assert not probabilities.requires_grad
    assert file.stat().st_size <= 1.02 * tensor_bytes(small.network) + 131072


class Unpadded(DAN):
    read_padded = DAN.__base__.read_padded


class Undecided(DAN):
    def read_padded(self, words, inside):
        return super().read_padded(words, inside) if words.sum() > 0 else words


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Unpadded, "Unpadded cannot be exported: it has no read_padded"),
        (Undecided, "Undecided cannot be exported: .*data-dependent"),
    ],
)
@pytest.mark.parametrize("form", export.WRITERS)
def test_a_network_that_cannot_be_exported_is_refused_by_name(tmp_path, network, message, form):
    if form == "onnx":
        pytest.importorskip("onnxscript", reason="needs the extra [export]")
    options = {**OPTIONS["dan"], "_target_": f"{__name__}.{network.__name__}"}
    path, _ = store(tmp_path, options)
    with pytest.raises(InputError, match=message) as caught:
        main([str(path), "--format", form, "--trust", __name__])
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_verb_offers_all_formats_that_can_be_written():
    assert SUFFIXES.keys() == export.WRITERS.keys()


class Airy(DAN):
    def read_padded(self, words, inside):
        return super().read_padded(torch.special.airy_ai(words), inside)


def test_an_operation_that_onnx_lacks_is_named(tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra [export]")
    path, _ = store(tmp_path, {**OPTIONS["dan"], "_target_": f"{__name__}.Airy"})
    with pytest.raises(InputError, match=r"Airy cannot be exported: .*airy_ai") as caught:
        main([str(path), "--format", "onnx", "--trust", __name__])
    assert "\n" not in str(caught.value)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    path, _ = store(tmp_path)
    with pytest.raises(InputError, match=r"ONNX needs more packages: .*pip install .*\[export\]'"):
        main([str(path), "--format", "onnx"])


@pytest.mark.parametrize("out", ["m.json", "model.safetensors", "folder/"])
def test_a_file_of_another_kind_is_not_overwritten(tmp_path, capsys, out):
    path, _ = store(tmp_path)
    before = path.read_bytes()
    arguments = ["export", str(path), "--format", "torch_export", "--out", str(tmp_path / out)]
    assert cli.command(arguments) == 2
    assert "ends in .pt2" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before
