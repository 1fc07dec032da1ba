"""Embeddings that take the place of `torch.nn.Embedding` and need less memory."""

from ccompress.embeddings.codebook import CodebookEmbedding
from ccompress.embeddings.low_rank import LowRankEmbedding
from ccompress.embeddings.mixed_precision import (
    MixedPrecisionEmbedding,
    MixedPrecisionLowRankEmbedding,
)
from ccompress.embeddings.packed import PackedEmbedding
from ccompress.embeddings.product import ProductQuantizedEmbedding
from ccompress.embeddings.quantized import QuantizedEmbedding
from ccompress.embeddings.quantized_low_rank import (
    QuantizedLowRankEmbedding,
    UnroundedLowRankEmbedding,
)
from ccompress.embeddings.reordered import ReorderedEmbedding
from ccompress.embeddings.row_quantized import RowQuantizedEmbedding

__all__ = [
    "CodebookEmbedding",
    "LowRankEmbedding",
    "MixedPrecisionEmbedding",
    "MixedPrecisionLowRankEmbedding",
    "PackedEmbedding",
    "ProductQuantizedEmbedding",
    "QuantizedEmbedding",
    "QuantizedLowRankEmbedding",
    "ReorderedEmbedding",
    "RowQuantizedEmbedding",
    "UnroundedLowRankEmbedding",
]
