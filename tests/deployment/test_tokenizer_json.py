"""The `tokenizers` library gives the same rows as our own tokenizers."""

import unicodedata
from itertools import chain

import composing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccompress.data.text.tokenizers import TOKENIZERS, get
from ccompress.deployment import tokenizer_json
from ccompress.errors import InputError

tokenizers = pytest.importorskip("tokenizers", reason="needs the extra [export]")


def differences(name, texts):
    """The texts for which the library gives other rows, with the tokens of both."""
    own_tokens = [get(name)(text) for text in texts]
    tokens = dict.fromkeys(chain.from_iterable(own_tokens))
    words = ["<pad>", "<unk>", *(token for token in tokens if token not in ("<pad>", "<unk>"))]
    rows = {word: row for row, word in enumerate(words) if row}
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json.written(name, words))
    tokenizer.no_padding()
    library_rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    return [
        (text, tokens, [words[row] for row in ids])
        for text, tokens, ids in zip(texts, own_tokens, library_rows, strict=True)
        # "<pad>" in a text is an unknown word.
        if ids != [rows.get(token, 1) for token in tokens]
    ]


# Unassigned characters are excluded, because a newer version of Unicode may have assigned them.
letter = st.characters(codec="utf-8", exclude_categories=["Cn", "Cs"])
known = letter.filter(lambda one: unicodedata.category(one) != "Cn")
telling = st.sampled_from(
    "'\"`.,;:!?()[]<>/&-*_019aBnT ΣςİIß½²\x85\xa0\x1c\x91…—“”‘’\u0301\u3000\n\t"
)
piece = st.sampled_from(
    "n't 's 're <br /> <br/> u.s. mr. etc. ... -- '' `` .com www.x.org cannot '70s o'clock "
    "rock'n'roll <pad> <unk> I. no.".split()
)
text = st.lists(known | telling | piece | st.just(" "), max_size=20).map("".join)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(st.lists(text, min_size=20, max_size=40))
def test_any_text_gives_the_same_rows(name, texts):
    assert not differences(name, texts)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("dataset", ["trec", "snips", "clinc150"])
def test_real_texts_give_the_same_rows(real_data, monkeypatch, dataset, name):
    """A tenth of the texts is compared; `tokenizer_json` says that all were compared once."""
    raw = []
    settings = composing.settings(f"dataset={dataset}", "vectors=random", f"data.root={real_data}")
    with monkeypatch.context() as patch:
        for other in TOKENIZERS:
            patch.setitem(TOKENIZERS, other, lambda: lambda text: raw.append(text) or ["x"])
        settings.dataset.load(real_data)
    assert len(raw) > 5000
    assert not differences(name, raw[::10])


def test_shorter_texts_are_padded():
    tokenizer = tokenizers.Tokenizer.from_str(
        tokenizer_json.written("whitespace", ["<pad>", "<unk>", "a", "b"])
    )
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(["a b A", "", "<pad> c"])]
    assert encoded == [[2, 3, 2], [0, 0, 0], [1, 1, 0]]
    assert tokenizer.encode("").ids == []


def test_a_users_own_function_is_refused():
    with pytest.raises(InputError, match=r"cannot hold the tokenizer shlex\.split.*FILE\.onnx"):
        tokenizer_json.written("shlex.split", ["<pad>", "<unk>"])
