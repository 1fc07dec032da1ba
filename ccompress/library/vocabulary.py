"""Prunes the vocabulary of a model to the tokens that your own texts use."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ccompress import storage
from ccompress.errors import InputError
from ccompress.library import tokenizers
from ccompress.library.files import save
from ccompress.library.readers import compressed_places
from ccompress.library.registration import is_pretrained
from ccompress.library.tables import Table, can_be_read, chosen


@dataclass(frozen=True)
class PrunedVocabulary:
    """What `prune_vocabulary` did.

    Attributes:
        tokenizer: The tokenizer of the smaller vocabulary.
        kept: The old id of each new id, (new rows,).
        rows_before: The number of rows before.
        bytes_before: Bytes of the table before.
        bytes_after: Bytes of the table after.
    """

    tokenizer: Any = field(repr=False)
    kept: Tensor = field(repr=False)
    rows_before: int
    bytes_before: int
    bytes_after: int

    def __str__(self) -> str:
        removed = 1 - self.bytes_after / self.bytes_before
        return (
            f"vocabulary: {self.rows_before:,} -> {len(self.kept):,} tokens, "
            f"{self.bytes_before:,} -> {self.bytes_after:,} bytes ({removed:.1%} removed)"
        )


@torch.no_grad()
def prune_vocabulary(
    model: nn.Module,
    tokenizer: Any,
    texts: Iterable[str] | Tensor,
    keep: int | None = None,
    name: str | None = None,
    folder: str | Path | None = None,
) -> PrunedVocabulary:
    """Remove rows of an embedding table, in place, whose tokens your own texts do not use.

    Tokens are renumbered in the order of their old ids: in the tokenizer, in all layers that share
    the table or score its rows, and in the configuration of a model of transformers. A text whose
    tokens are all kept has exactly the same tokens and outputs as before. Other texts are cut into
    smaller tokens. Special tokens, bytes and the characters of ASCII are always kept.

    Prune before `compress`, and make optimizers after it.

    Args:
        model: The network.
        tokenizer: Its tokenizer, from the tokenizers library (WordPiece, BPE or Unigram) or a fast
            one from transformers.
        texts: Texts of the language or domain that the model is for; or how often each token
            occurs, a tensor of shape (V,).
        keep: The largest number of tokens to keep, the most frequent first. By default all tokens
            of the texts are kept.
        name: The embedding's path. It may be omitted for a model of transformers, and if the
            network has one embedding only.
        folder: Where to save the model and the tokenizer, if anywhere.

    Returns:
        A report that also holds the new tokenizer.

    Raises:
        InputError: The model and the tokenizer stay unchanged in each of these cases. The tokenizer
            is of another kind, or has more tokens than the table has rows. `keep` is smaller than
            the tokens that must be kept. The table is compressed already, or is read by a module of
            another class than `compress` accepts.
    """
    table = _table(model, name)
    backend = tokenizers.backend_of(tokenizer)
    rows = len(table.embedding.weight)
    if (tokens := 1 + max(backend.get_vocab(with_added_tokens=True).values())) > rows:
        raise InputError(f"the tokenizer has {tokens} tokens and {table} has fewer rows")
    counts = _counts(backend, texts, rows)
    kept = _kept(model, backend, counts, keep, table)
    new_ids = {old: new for new, old in enumerate(kept.tolist())}
    smaller = tokenizers.pruned(tokenizer, new_ids)
    before = table.embedding.weight.nbytes
    _shrink(model, table, kept)
    if is_pretrained(model):
        _renumber_config(model, new_ids)
    if folder is not None:
        path = storage.expanded(folder)
        save(model, path)
        if hasattr(smaller, "save_pretrained"):
            smaller.save_pretrained(path)
        else:
            smaller.save(str(path / "tokenizer.json"))
    return PrunedVocabulary(smaller, kept, rows, before, table.embedding.weight.nbytes)


def _table(model: Any, name: str | None) -> Table:
    if any(compressed_places(model)):
        raise InputError("the model is compressed already: prune its vocabulary first")
    if name is None and is_pretrained(model):
        embeddings = model.get_input_embeddings()
        name = next(path for path, child in model.named_modules() if child is embeddings)
    [table] = chosen(model, name)
    for path, reader in table.readers.items():
        if not can_be_read(reader):
            raise InputError(f"{path!r} is a {type(reader).__name__}: nothing is known of its rows")
    return table


def _counts(backend: Any, texts: Iterable[str] | Tensor, rows: int) -> Tensor:
    if isinstance(texts, str):
        raise InputError("prune_vocabulary takes several texts, not one: give [text]")
    if not isinstance(texts, Tensor):
        return tokenizers.count(backend, texts, rows)
    if texts.shape != (rows,):
        raise InputError(f"counts have the shape {tuple(texts.shape)}: give one for each of {rows}")
    return texts.cpu()


def _kept(model: nn.Module, backend: Any, counts: Tensor, keep: int | None, table: Table) -> Tensor:
    """The old ids of the kept tokens, in rising order."""
    needed = tokenizers.indispensable(backend) | set(_special_ids(model).values())
    padding_idx = table.embedding.padding_idx
    if padding_idx is not None:
        needed.add(padding_idx)
    merged = tokenizers.parts(backend)
    ids = tokenizers.closed(merged, needed)
    if keep is not None and keep < len(ids):
        raise InputError(
            f"keep={keep}: give at least {len(ids)}, the number of special tokens, bytes and "
            f"characters that are always kept"
        )
    for token in counts.argsort(descending=True, stable=True).tolist():
        if not counts[token]:
            break
        new = tokenizers.closed(merged, {token}) - ids
        if keep is not None and len(ids) + len(new) > keep:
            break
        ids |= new
    return torch.tensor(sorted(ids))


def _special_ids(model: Any) -> dict[tuple[int, str], int]:
    """The ids in the configurations of a model, by the configuration's place and the name."""
    return {
        (place, name): value
        for place, config in enumerate(_configs(model))
        for name, value in vars(config).items()
        if name.endswith("_token_id") and isinstance(value, int) and value >= 0
    }


def _configs(model: Any) -> list[Any]:
    if not is_pretrained(model):
        return []
    parts = [part for part in model.modules() if is_pretrained(part)]
    configs = [c for p in parts for c in (p.config, getattr(p, "generation_config", None))]
    configs += [model.config.get_text_config()]
    return list({id(config): config for config in configs if config is not None}.values())


def _renumber_config(model: Any, new_ids: dict[int, int]) -> None:
    configs = _configs(model)
    for (place, name), old in _special_ids(model).items():
        setattr(configs[place], name, new_ids[old])
    for config in configs:
        if hasattr(config, "vocab_size"):
            config.vocab_size = len(new_ids)
    for part in model.modules():
        if is_pretrained(part) and isinstance(getattr(part, "vocab_size", None), int):
            part.vocab_size = len(new_ids)


def _shrink(model: Any, table: Table, kept: Tensor) -> None:
    """Keep only the given rows of a table, in all modules that read it or score its rows."""
    old = table.embedding.weight
    rows = kept.to(old.device)
    weight = nn.Parameter(old[rows], old.requires_grad)
    readers: list[Any] = list(table.readers.values())
    head = model.get_output_embeddings() if is_pretrained(model) else None
    if isinstance(head, nn.Linear) and len(head.weight) == len(old) and head not in readers:
        head.weight = nn.Parameter(head.weight[rows], head.weight.requires_grad)
        readers.append(head)
    for reader in readers:
        if reader.weight is old:
            reader.weight = weight
        if isinstance(reader, nn.Linear):
            reader.out_features = len(kept)
            if reader.bias is not None and len(reader.bias) == len(old):
                reader.bias.data = reader.bias[rows]  # in place: another module may share it
        else:
            reader.num_embeddings = len(kept)
            if reader.padding_idx is not None:
                reader.padding_idx = int((kept == reader.padding_idx).nonzero())
    if isinstance(bias := getattr(model, "final_logits_bias", None), Tensor):
        model.final_logits_bias = bias[:, rows]
