"""With a pruned vocabulary, one's own texts have exactly the same outputs as before."""

import copy

import pytest
import torch
from torch import nn

import ccompress
from ccompress.errors import InputError

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

ALL = [
    f"{number} {color} {thing} are {place} the {other}ness, aren't they?"
    for number in ("two", "three", "seven", "eleven")
    for color in ("red", "green", "darkest", "yellowish")
    for thing in ("tables", "embeddings", "wonderful cities", "naïve façades")
    for place in ("under", "over", "beside", "within")
    for other in ("bright", "dark", "kind", "sharp")
]
OWN = [text for text in ALL if "red" in text and "cities" in text][:20]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL)
    return trained(tokenizer, trainer)


def bpe():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    return trained(tokenizer, trainer)


def unigram():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=200, special_tokens=SPECIAL, unk_token="[UNK]"
    )
    return trained(tokenizer, trainer)


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator(ALL, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ids
    )
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]")
    return tokenizer


MADE = [wordpiece, bpe, unigram]


class Network(nn.Module):
    def __init__(self, rows):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(rows, 8, padding_idx=0)
        self.scores = nn.Linear(8, rows)
        self.scores.weight = self.words.weight

    def forward(self, ids):
        return self.scores(self.words(ids).mean(1))


def ids(tokenizer, texts):
    return torch.tensor([one.ids for one in tokenizer.encode_batch(texts)])


def tokens(tokenizer, texts):
    return [one.tokens for one in tokenizer.encode_batch(texts)]


@pytest.mark.parametrize("make", MADE)
def test_ones_own_texts_have_the_same_tokens_and_outputs(make):
    tokenizer = make()
    rows = tokenizer.get_vocab_size() + 3  # some tables have more rows than tokens
    network = Network(rows)
    unpruned = copy.deepcopy(network)
    report = ccompress.prune_vocabulary(network, tokenizer, OWN)
    smaller, kept = report.tokenizer, report.kept
    assert len(kept) == smaller.get_vocab_size() == len(network.words.weight) < 0.9 * rows
    assert network.words.num_embeddings == network.scores.out_features == len(kept)
    assert network.scores.weight is network.words.weight
    assert (report.bytes_before, report.bytes_after) == (32 * rows, 32 * len(kept))
    assert str(report).startswith(f"vocabulary: {rows} -> {len(kept)} tokens, {32 * rows:,} -> ")
    before, after = ids(tokenizer, OWN), ids(smaller, OWN)
    assert torch.equal(kept[after], before)
    assert torch.equal(network(after), unpruned(before)[:, kept])
    assert tokens(smaller, OWN) == tokens(tokenizer, OWN)
    for token in SPECIAL:
        assert kept[smaller.token_to_id(token)] == tokenizer.token_to_id(token)
    assert [smaller.decode(one) for one in after.tolist()] == [
        tokenizer.decode(one) for one in before.tolist()
    ]
    # Other texts are cut into more tokens, but not into unknown ones.
    read = smaller.encode("seven darkest tables")
    assert len(read.tokens) >= len(tokenizer.encode("seven darkest tables").tokens)
    assert smaller.token_to_id("[UNK]") not in read.ids


@pytest.mark.parametrize("make", MADE)
def test_keep_is_the_largest_number_of_tokens_and_the_most_frequent_are_kept(make):
    tokenizer = make()
    rows = tokenizer.get_vocab_size()
    # One tokenizer serves all calls, because WordPiece's trainer breaks ties at random.
    least = len(ccompress.prune_vocabulary(Network(rows), tokenizer, torch.zeros(rows)).kept)
    keep = least + 20
    report = ccompress.prune_vocabulary(Network(rows), tokenizer, ALL, keep=keep)
    assert least < len(report.kept) <= keep
    counts = ids(tokenizer, ALL).flatten().bincount(minlength=rows)
    by_counts = ccompress.prune_vocabulary(Network(rows), tokenizer, counts, keep=keep)
    assert torch.equal(by_counts.kept, report.kept)
    with pytest.raises(InputError, match=f"keep=3: give at least {least}, the number of special"):
        ccompress.prune_vocabulary(Network(rows), tokenizer, ALL, keep=3)


PROCESSORS = {
    "bert": lambda sep, cls: tokenizers.processors.BertProcessing(sep, cls),
    "roberta": lambda sep, cls: tokenizers.processors.RobertaProcessing(sep, cls),
    "sequence": lambda sep, cls: tokenizers.processors.Sequence(
        [tokenizers.processors.ByteLevel(), tokenizers.processors.BertProcessing(sep, cls)]
    ),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_special_tokens_of_every_post_processor_get_their_new_ids(kind):
    tokenizer = wordpiece()
    special = ((token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]"))
    tokenizer.post_processor = PROCESSORS[kind](*special)
    report = ccompress.prune_vocabulary(Network(tokenizer.get_vocab_size()), tokenizer, OWN)
    assert tokens(report.tokenizer, OWN) == tokens(tokenizer, OWN)
    assert torch.equal(report.kept[ids(report.tokenizer, OWN)], ids(tokenizer, OWN))


def test_a_network_and_a_plain_tokenizer_are_saved(tmp_path):
    tokenizer = wordpiece()
    rows = tokenizer.get_vocab_size()
    network = Network(rows)
    report = ccompress.prune_vocabulary(network, tokenizer, OWN, folder=tmp_path)
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert torch.equal(ids(again, OWN), ids(report.tokenizer, OWN))
    restored = ccompress.restore(Network(len(report.kept)), tmp_path)
    assert torch.equal(restored(ids(again, OWN)), network(ids(again, OWN)))


def bert(tokenizer, kind="BertForMaskedLM"):
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    config = transformers.BertConfig(
        vocab_size=len(wrapped),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=wrapped.pad_token_id,
        sep_token_id=wrapped.sep_token_id,
    )
    torch.manual_seed(0)
    return getattr(transformers, kind)(config).eval(), wrapped


@torch.no_grad()
@pytest.mark.parametrize("make", MADE)
def test_a_model_of_transformers_and_its_tokenizer_are_pruned_compressed_and_saved(tmp_path, make):
    model, tokenizer = bert(make())
    tokenizer.add_tokens(["<new>"])
    model.resize_token_embeddings(len(tokenizer))
    inputs = tokenizer(OWN, return_tensors="pt", padding=True)
    expected = model(input_ids=inputs["input_ids"]).logits
    report = ccompress.prune_vocabulary(model, tokenizer, OWN, folder=tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    read = transformers.BertForMaskedLM.from_pretrained(tmp_path)
    for one, its in ((model, report.tokenizer), (read, again)):
        after = its(OWN, return_tensors="pt", padding=True)["input_ids"]
        assert torch.equal(report.kept[after], inputs["input_ids"])
        torch.testing.assert_close(one(input_ids=after).logits, expected[..., report.kept])
        assert one.config.vocab_size == len(its) == len(report.kept)
        assert one.config.sep_token_id == its.sep_token_id
        assert report.kept[its.convert_tokens_to_ids("<new>")] == len(tokenizer) - 1
    ccompress.compress(model, 0.5, name="*.word_embeddings")
    with pytest.raises(InputError, match="is compressed already: prune its vocabulary first"):
        ccompress.prune_vocabulary(model, report.tokenizer, OWN)


@torch.no_grad()
def test_an_output_layer_that_is_not_tied_is_pruned_too():
    model, tokenizer = bert(wordpiece())
    decoder = model.cls.predictions.decoder
    decoder.weight = nn.Parameter(torch.randn_like(decoder.weight))
    before = tokenizer(OWN, return_tensors="pt", padding=True)["input_ids"]
    expected = model(input_ids=before).logits
    report = ccompress.prune_vocabulary(model, tokenizer, OWN)
    after = report.tokenizer(OWN, return_tensors="pt", padding=True)["input_ids"]
    torch.testing.assert_close(model(input_ids=after).logits, expected[..., report.kept])


def test_refused_models_and_tokenizers_stay_unchanged():
    tokenizer = wordpiece()
    rows = tokenizer.get_vocab_size()
    network = Network(rows)
    weight = network.words.weight
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    for wrong, texts, message in (
        (str, OWN, "the tokenizer is a type: give one of the tokenizers library"),
        (words, OWN, "the tokenizer's model is WordLevel: it must be WordPiece, BPE, Unigram"),
        (tokenizer, "one text", "takes several texts, not one"),
        (tokenizer, torch.ones(3), rf"counts have the shape \(3,\): give one for each of {rows}"),
    ):
        with pytest.raises(InputError, match=message):
            ccompress.prune_vocabulary(network, wrong, texts)
    with pytest.raises(InputError, match=rf"has {rows} tokens and 'words' \({rows - 1} x 8\)"):
        ccompress.prune_vocabulary(Network(rows - 1), tokenizer, OWN)
    assert network.words.weight is weight
    assert tokenizer.get_vocab_size() == rows
