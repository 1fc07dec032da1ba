"""Makes `save_pretrained` and `from_pretrained` of transformers work for compressed models.

Importing this module registers "ccompress" with transformers as a quantization method. `compress`
and `restore` import it when they get a model of transformers. So you need this line only in a
program that calls `from_pretrained` before them::

    import ccompress.library.transformers

The model's config.json describes the compressed tables under `quantization_config`.
"""

from collections.abc import Iterable
from types import MethodType
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.errors import InputError
from ccompress.library.readers import Reader, compressed_places, table_of
from ccompress.library.restructuring import restructure
from ccompress.library.structure import described
from ccompress.library.tables import exchange, tables_of

_METHOD = "ccompress"


@register_quantization_config(_METHOD)
class CompressionConfig(QuantizationConfigMixin):
    """The description of a compressed model in its config.json.

    Args:
        tables: See `ccompress.described`.
        unfinished: The reason why the model cannot be stored yet; empty if it can.
    """

    quant_method: Any

    def __init__(
        self, tables: dict[str, dict[str, Any]], unfinished: str = "", **options: Any
    ) -> None:
        self.quant_method = _METHOD
        self.tables = tables
        self.unfinished = unfinished


@register_quantizer(_METHOD)
class CompressionQuantizer(HfQuantizer):
    """Gives a fresh model the compressed tables of a stored one before its weights are loaded."""

    quantization_config: CompressionConfig
    requires_parameters_quantization = False

    def _process_model_before_weight_loading(self, model: Any, **options: Any) -> None:
        _tie(model)
        known = {path for table in tables_of(model) for path in table.readers}
        tables = self.quantization_config.tables
        restructure(model, {_path_in(model, path, known): one for path, one in tables.items()})
        _untie(model)

    def _process_model_after_weight_loading(self, model: Any, **options: Any) -> None:
        for path, place in compressed_places(model):
            tensors = place.state_dict(keep_vars=True)
            # transformers 5 marks loaded tensors; 4 calls `update_missing_keys` instead
            loaded = [hasattr(tensor, "_is_hf_initialized") for tensor in tensors.values()]
            if any(loaded):
                names = [f"{path}.{name}" for name in tensors]
                _refuse_missing(
                    n for n, is_loaded in zip(names, loaded, strict=True) if not is_loaded
                )
            table = table_of(place)
            assert table is not None
            table.lay_out()
        for module in model.modules():
            if isinstance(module, Reader):
                module.take(module.table)
        model.is_quantized = False  # it may be cast and trained like any other model
        adopt(model)

    def update_missing_keys(self, model: Any, missing_keys: list[str], prefix: str) -> list[str]:
        """Refuse a checkpoint that lacks a part of a compressed table (transformers 4)."""
        places = tuple(f"{path}." for path, _ in compressed_places(model))
        _refuse_missing(key for key in missing_keys if key.startswith(places))
        return missing_keys

    def is_serializable(self, safe_serialization: bool | None = None) -> bool:
        """Always true.

        Raises:
            InputError: The model cannot be stored yet.
        """
        if self.quantization_config.unfinished:
            raise InputError(self.quantization_config.unfinished)
        return True

    @property
    def is_trainable(self) -> bool:
        """Always true: factors can be trained further, and other tables are frozen."""
        return True

    @property
    def is_qat_trainable(self) -> bool:
        """Always true; otherwise the Trainer demands adapters."""
        return True


def adopt(module: nn.Module) -> None:
    """See `ccompress.library.registration.adopt`."""
    known: set[int] = set()
    for part in module.modules():
        if isinstance(part, PreTrainedModel) and any(compressed_places(part)):
            _adopt(part, describe=id(part.config) not in known)
            known.add(id(part.config))  # a part of this model may share its configuration


def _adopt(model: Any, describe: bool) -> None:
    if describe:
        config = _configuration(model)
        model.config.quantization_config = config.to_dict()
        model.hf_quantizer = CompressionQuantizer(config)
    model.resize_token_embeddings = MethodType(_resize_token_embeddings, model)
    _untie(model)


def _configuration(model: nn.Module) -> CompressionConfig:
    try:
        return CompressionConfig(described(model))
    except InputError as error:
        return CompressionConfig({}, unfinished=str(error))


def _path_in(model: Any, path: str, known: Iterable[str]) -> str:
    """The path of a table in a model that may have a head, while the stored model may have none."""
    prefix = f"{model.base_model_prefix}."
    for candidate in (path, path.removeprefix(prefix), prefix + path):
        if candidate in known:
            return candidate
    return path


def _tie(model: Any) -> None:
    """Tie the weights now, which shows which modules read one table."""
    tied = getattr(model, "all_tied_weights_keys", None)
    if tied is None:  # transformers 4
        model.tie_weights()
        return
    for target, source in tied.items():  # transformers 5 ties nothing before it has loaded
        path, _, name = target.rpartition(".")
        setattr(model.get_submodule(path), name, model.get_parameter(source))


def _untie(model: Any) -> None:
    """Remove the compressed tables from the list of weights that transformers ties."""
    compressed = {
        f"{path}.weight"
        for path, child in model.named_modules(remove_duplicate=False)
        if table_of(child) is not None
    }
    tied = getattr(model, "all_tied_weights_keys", None)
    if tied is not None:  # transformers 5: the name of each tied weight -> its source
        model.all_tied_weights_keys = {
            target: source
            for target, source in tied.items()
            if target not in compressed and source not in compressed
        }
        return
    # transformers 4: patterns of weights that need not be stored
    first = {id(child) for child in model.modules()}
    twice = []
    for path, child in model.named_modules(remove_duplicate=False):
        if id(child) not in first and table_of(child) is not None:
            twice += [f"{path}.{name}" for name in child.state_dict()]
        first.discard(id(child))
    model._tied_weights_keys = list({*(model._tied_weights_keys or ()), *twice})


def _refuse_missing(keys: Iterable[str]) -> None:
    if missing := list(keys):
        raise InputError(
            f"the checkpoint lacks {', '.join(missing)}: it is not that of the compressed model "
            f"that its config.json describes"
        )


def _resize_token_embeddings(
    model: Any,
    new_num_tokens: int | None = None,
    pad_to_multiple_of: int | None = None,
    mean_resizing: bool = True,
) -> Any:
    """Replaces `PreTrainedModel.resize_token_embeddings` if the table is compressed.

    New rows of factor A are the mean of the old rows. Other tables are frozen and cannot be
    resized.
    """
    embeddings = model.get_input_embeddings()
    table = table_of(embeddings)
    if table is None:
        resize = type(model).resize_token_embeddings
        return resize(model, new_num_tokens, pad_to_multiple_of, mean_resizing)
    rows = table.num_embeddings if new_num_tokens is None else new_num_tokens
    if pad_to_multiple_of is not None:
        rows = -(-rows // pad_to_multiple_of) * pad_to_multiple_of
    if rows == table.num_embeddings:
        return embeddings
    if not isinstance(table, LowRankEmbedding):
        raise InputError(
            f"resize_token_embeddings: the embedding is a {type(table).__name__}, which is frozen: "
            f"resize the model first, then compress it"
        )
    with torch.no_grad():
        exchange(model, table, table.resized(rows))
    head = model.get_output_embeddings()
    if isinstance(head, nn.Linear):
        model.set_output_embeddings(
            model._get_resized_lm_head(head, rows, mean_resizing=mean_resizing)
        )
    if hasattr(model, "_resize_final_logits_bias"):
        model._resize_final_logits_bias(rows)
    model.config.get_text_config().vocab_size = rows
    model.vocab_size = rows
    adopt(model)
    return model.get_input_embeddings()
