"""Prunes the vocabulary of a tokenizer of the `tokenizers` library."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ccompress import installation
from ccompress.errors import InputError

try:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import ByteLevel
except ImportError as error:
    needed = installation.command("transformers")
    raise InputError(f"this needs the tokenizers library; run: {needed}") from error

_MODELS = ("WordPiece", "BPE", "Unigram")


def backend_of(tokenizer: Any) -> Tokenizer:
    """The tokenizer of the `tokenizers` library: `tokenizer` itself, or the one that it wraps.

    Raises:
        InputError: There is no such tokenizer, or its model is of another kind.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        raise InputError(
            f"the tokenizer is a {type(tokenizer).__name__}: give one of the tokenizers library, "
            f"or a fast one of transformers"
        )
    kind = type(backend.model).__name__
    if kind not in _MODELS:
        raise InputError(f"the tokenizer's model is {kind}: it must be {', '.join(_MODELS)}")
    return backend


def count(backend: Tokenizer, texts: Iterable[str], rows: int) -> Tensor:
    """How often each id occurs in texts, (rows,), special tokens included."""
    total = torch.zeros(rows, dtype=torch.int64)
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == 1024:
            total += _ids(backend, batch).bincount(minlength=rows)
            batch = []
    return total + _ids(backend, batch).bincount(minlength=rows)


def _ids(backend: Tokenizer, texts: list[str]) -> Tensor:
    encodings = backend.encode_batch(texts)
    return torch.tensor([i for one in encodings for i in one.ids], dtype=torch.int64)


def indispensable(backend: Tokenizer) -> set[int]:
    """The ids of special tokens, bytes and characters, which keep every text readable.

    The characters are those of ASCII and, for a tokenizer of bytes, the 256 that stand for bytes.
    """
    described = json.loads(backend.to_str())
    vocabulary = backend.get_vocab(with_added_tokens=True)
    prefix = described["model"].get("continuing_subword_prefix") or ""
    alphabet = {chr(code) for code in range(33, 127)} | {"▁", "Ġ", "Ċ"}
    if "ByteLevel" in json.dumps([described["pre_tokenizer"], described["decoder"]]):
        alphabet |= set(ByteLevel.alphabet())
    tokens = alphabet | {prefix + sign for sign in alphabet} | {f"<0x{b:02X}>" for b in range(256)}
    tokens |= {one["content"] for one in described["added_tokens"]}
    if isinstance(unknown := described["model"].get("unk_token"), str):
        tokens.add(unknown)
    ids = {vocabulary[token] for token in tokens if token in vocabulary}
    if (unknown_id := described["model"].get("unk_id")) is not None:
        ids.add(unknown_id)
    return ids


def parts(backend: Tokenizer) -> dict[int, list[int]]:
    """Each id that byte-pair encoding makes by merging -> the ids that its merges join."""
    model = json.loads(backend.to_str())["model"]
    merged: dict[int, list[int]] = {}
    if model["type"] == "BPE":
        vocabulary = model["vocab"]
        for left, right in _merges(model):
            whole = vocabulary[left + right]
            merged.setdefault(whole, []).extend((vocabulary[left], vocabulary[right]))
    return merged


def closed(merged: Mapping[int, list[int]], kept: Iterable[int]) -> set[int]:
    """The kept ids and, recursively, all ids from which they are merged.

    A text whose tokens are all kept is then cut exactly as before, because no merge is missing.

    Args:
        merged: See `parts`.
        kept: The ids to keep.
    """
    waiting = list(kept)
    ids = set(waiting)
    while waiting:
        new = set(merged.get(waiting.pop(), ())) - ids
        ids |= new
        waiting += new
    return ids


def pruned(tokenizer: Any, new_ids: Mapping[int, int]) -> Any:
    """The same kind of tokenizer with only the tokens in `new_ids`, old id -> new id."""
    backend = backend_of(tokenizer)
    described = json.loads(backend.to_str())
    _prune_model(described["model"], new_ids)
    described["added_tokens"] = [
        {**one, "id": new_ids[one["id"]]} for one in described["added_tokens"]
    ]
    if described.get("padding"):
        described["padding"]["pad_id"] = new_ids[described["padding"]["pad_id"]]
    if described.get("post_processor"):
        _renumber(described["post_processor"], new_ids)
    text = json.dumps(described, ensure_ascii=False)
    if isinstance(tokenizer, Tokenizer):
        return Tokenizer.from_str(text)
    return _wrapped(tokenizer, text, new_ids)


def _prune_model(model: dict[str, Any], new_ids: Mapping[int, int]) -> None:
    vocabulary = model["vocab"]
    if model["type"] == "Unigram":
        model["vocab"] = [piece for i, piece in enumerate(vocabulary) if i in new_ids]
        if model.get("unk_id") is not None:
            model["unk_id"] = new_ids[model["unk_id"]]
        return
    model["vocab"] = {word: new_ids[i] for word, i in vocabulary.items() if i in new_ids}
    if model["type"] == "BPE":
        known = model["vocab"]
        model["merges"] = [
            [left, right]
            for left, right in _merges(model)
            if left in known and right in known and left + right in known
        ]


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges as pairs; older files write each as one text with a space between the parts."""
    merges = model["merges"]
    pairs = (m.split(" ", 1) if isinstance(m, str) else m for m in merges)
    return [(left, right) for left, right in pairs]


def _renumber(processor: dict[str, Any], new_ids: Mapping[int, int]) -> None:
    """Replace the old ids in a post-processor, which adds special tokens to a text."""
    for part in processor.get("processors", ()):
        _renumber(part, new_ids)
    for name in ("sep", "cls"):
        if name in processor:
            token, number = processor[name]
            processor[name] = [token, new_ids[number]]
    special = processor.get("special_tokens", {})
    for one in special.values() if isinstance(special, dict) else special:
        one["ids"] = [new_ids[number] for number in one["ids"]]


def _wrapped(tokenizer: Any, text: str, new_ids: Mapping[int, int]) -> Any:
    """A tokenizer of transformers around the changed one, read from a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer.save_pretrained(folder)
        for path in folder.iterdir():  # other files repeat the whole vocabulary
            if path.name not in ("tokenizer_config.json", "special_tokens_map.json"):
                path.unlink()
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        if added := config.get("added_tokens_decoder"):
            config["added_tokens_decoder"] = {new_ids[int(i)]: one for i, one in added.items()}
        path.write_text(json.dumps(config), encoding="utf-8")
        return type(tokenizer).from_pretrained(folder)
