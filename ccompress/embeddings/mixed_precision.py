"""Factors of mixed precision as they are shipped: packed, and unpacked row by row when read.

The bits of a number of A depend on its row's tier and its column: see
`ccompress.numerics.allocation`.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccompress.embeddings.base import (
    CompressedEmbedding,
    in_range,
    lay_out_again,
    without_padding,
)
from ccompress.embeddings.factorised import FactorisedEmbedding
from ccompress.numerics.allocation import MOST_BITS, STEPS


class MixedPrecisionEmbedding(CompressedEmbedding):
    """A frozen embedding whose numbers have 0 to 4 bits, by the tier of the row and the column.

    Tiers are runs of rows. A number with b bits is one of 2^b evenly spaced values around 0; its
    step is the product of its column's step, its tier's step and `STEPS[b]`. A number without bits
    reads as 0. The codes of a tier form a stream of bits, row after row, that begins on a whole
    byte. In a new one everything is zero, ready for `load_state_dict`.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: k, the number of columns.
        tiers: T, the number of tiers.
        code_bytes: Bytes of all streams together.
        padding_idx: A row that reads as exact zeros.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., k).

    Raises:
        InputError: if tiers or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.
    """

    size_name = "tiers"
    codes: Tensor
    bits: Tensor
    first: Tensor
    column_step: Tensor
    tier_step: Tensor
    _bits: Tensor
    _bounds: Tensor
    _numbers: Tensor | None
    _values: Tensor
    _columns: Tensor
    _width: Tensor
    _begin: Tensor
    _mask: Tensor
    _step: Tensor
    _lowest: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        tiers: int,
        code_bytes: int,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.tiers = in_range("tiers", tiers, num_embeddings)
        self.code_bytes = code_bytes
        nibbles = -(-tiers * embedding_dim // 2)
        for name, size, kind in (
            ("codes", code_bytes, torch.uint8),
            ("bits", nibbles, torch.uint8),  # two entries a byte, the first in the low half
            ("first", tiers, torch.int32),  # the number of each tier's first row
            ("column_step", embedding_dim, dtype),
            ("tier_step", tiers, dtype),
        ):
            self.register_buffer(name, torch.zeros(size, dtype=kind, device=device))
        self.register_load_state_dict_post_hook(lay_out_again)  # type: ignore[no-untyped-call]
        self.lay_out()

    @classmethod
    @torch.no_grad()
    def from_codes(
        cls,
        codes: Tensor,
        tier: Tensor,
        bits: Tensor,
        column_step: Tensor,
        tier_step: Tensor,
        padding_idx: int | None,
    ) -> "MixedPrecisionEmbedding":
        """Pack the code of each number.

        Args:
            codes: 0 to 2^b - 1, of shape (V, k).
            tier: The tier of each row (V,), never falling.
            bits: The bits of each tier's numbers in each column (T, k).
            column_step: (k,).
            tier_step: (T,).
            padding_idx: A row that reads as exact zeros.
        """
        rows, rank = codes.shape
        tiers = len(bits)
        sizes = torch.bincount(tier, minlength=tiers)
        streams = []
        for rows_of_tier, width in zip(torch.split(codes, sizes.tolist()), bits, strict=True):
            planes = torch.arange(MOST_BITS, device=codes.device)
            used = planes < width.unsqueeze(1)  # (k, MOST_BITS): lowest bit first
            stream = ((rows_of_tier.unsqueeze(2) >> planes) & 1)[:, used].flatten()
            streams.append(np.packbits(stream.to(torch.uint8).cpu().numpy(), bitorder="little"))
        packed = np.concatenate(streams)
        embedding = cls(rows, rank, tiers, len(packed), padding_idx)
        nibbles = F.pad(bits.flatten(), (0, tiers * rank % 2)).reshape(-1, 2)
        embedding.codes = torch.from_numpy(packed)
        embedding.bits = (nibbles[:, 0] | nibbles[:, 1] << 4).to(torch.uint8).cpu()
        embedding.first = (sizes.cumsum(0) - sizes).to(torch.int32).cpu()
        embedding.column_step, embedding.tier_step = column_step.cpu(), tier_step.cpu()
        embedding.lay_out()
        return embedding.to(codes.device)

    def lay_out(self) -> None:
        """Derive where codes lie, and what they stand for, from the stored tensors."""
        nibbles = torch.stack([self.bits & 15, self.bits >> 4], 1).flatten()
        bits = nibbles[: self.tiers * self.embedding_dim].long()
        bits = bits.reshape(self.tiers, self.embedding_dim)
        bounds = F.pad(self.first.long(), (0, 1), value=self.num_embeddings)
        width = bits.sum(1)  # bits of a row
        stream = (bounds.diff() * width + 7) // 8  # bytes of a tier
        # The bit at which row 0 would begin if the whole table belonged to the tier.
        begin = 8 * (stream.cumsum(0) - stream) - bounds[:-1] * width
        unit = torch.tensor(STEPS, dtype=self.column_step.dtype, device=bits.device)
        step = self.tier_step.unsqueeze(1) * self.column_step * unit[bits] * (bits > 0)
        levels = 2**bits
        derived = {
            "_bits": bits,
            "_bounds": bounds,
            "_width": width.unsqueeze(1),
            "_begin": begin.unsqueeze(1) + bits.cumsum(1) - bits,
            "_mask": (levels - 1).int(),
            "_step": step,
            "_lowest": step * (1 - levels) / 2,
        }
        for name, tensor in derived.items():
            self.register_buffer(name, tensor, persistent=False)
        for name in ("_numbers", "_values", "_columns"):  # see `_unpack`
            self.register_buffer(name, None, persistent=False)

    def _streams(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The bits of each tier (rows of the tier, bits of a row), on the CPU."""
        sizes, widths = self._bounds.diff().tolist(), self._width.flatten().tolist()
        shapes = list(zip(sizes, widths, strict=True))
        ends = np.cumsum([-(-rows * width // 8) for rows, width in shapes])
        streams = np.split(self.codes.cpu().numpy(), ends[:-1])
        for stream, (rows, width) in zip(streams, shapes, strict=True):
            bits = np.unpackbits(stream, count=rows * width, bitorder="little")
            yield bits.reshape(rows, width)

    @torch.no_grad()
    def _unpack(self) -> Tensor:
        """Make a byte of each code, and the table of what the bytes of each column stand for.

        A column has at most 16 values in a tier. One table holds the values of all tiers, so a byte
        tells both the tier and the code, and a row is read in four operations instead of thirty.
        This is done when the first row is read. It takes a byte of memory for each number of A and
        is not stored.
        """
        levels = 2**self._bits
        first = (levels.cumsum(0) - levels + 1).cpu().numpy()  # each column's place of code 0
        count = int(levels.sum(0).max()) + 1  # place 0 is padding's
        numbers = np.empty(
            (self.num_embeddings, self.embedding_dim), np.uint8 if count <= 256 else np.int16
        )
        places = torch.arange(count, device=levels.device).unsqueeze(1)
        values = self._step.new_zeros(count, self.embedding_dim)
        row = 0
        for t, stream in enumerate(self._streams()):
            rows = numbers[row : row + len(stream)]
            rows[:] = first[t]
            place = 0
            for j, width in enumerate(self._bits[t].tolist()):
                for bit in range(width):
                    rows[:, j] += stream[:, place] << bit
                    place += 1
            row += len(stream)
            code = places - torch.from_numpy(first[t]).to(places.device)
            mine = (code >= 0) & (code < levels[t])
            values = torch.where(mine, self._lowest[t] + code * self._step[t], values)
        if self.padding_idx is not None:
            numbers[self.padding_idx] = 0
        self._values = values.T.flatten()
        self._columns = count * torch.arange(self.embedding_dim, device=levels.device)
        self._numbers = torch.from_numpy(numbers).to(levels.device)
        return self._numbers

    def runs(self) -> Tensor:
        """The tier of each row (V,): its rows' codes have the same bits."""
        return torch.repeat_interleave(self._bounds.diff()).cpu()

    def permuted(self, order: Tensor) -> dict[str, Tensor]:
        """See `CompressedEmbedding.permuted`."""
        sizes = self._bounds.diff().tolist()
        within = torch.split(order.cpu() - self._bounds.cpu()[self.runs()], sizes)
        streams = [
            np.packbits(stream[places.numpy()], bitorder="little")
            for stream, places in zip(self._streams(), within, strict=True)
        ]
        return {**self.state_dict(), "codes": torch.from_numpy(np.concatenate(streams))}

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors, of shape (..., k), of indices of shape (...)."""
        if torch.compiler.is_compiling():  # what is exported holds the packed codes
            return self._from_bits(indices)
        numbers = self._unpack() if self._numbers is None else self._numbers
        numbers = F.embedding(indices, numbers)  # checks the indices as nn.Embedding does
        return self._values.take(numbers.long() + self._columns)

    def _from_bits(self, indices: Tensor) -> Tensor:
        """As `forward`, from the packed codes."""
        if indices.dtype not in (torch.int32, torch.int64):
            # As nn.Embedding refuses them; `F.embedding` below sees tiers, not these indices.
            raise RuntimeError(
                f"Expected tensor for indices of int32 or int64, not {indices.dtype}"
            )
        # -1 or T where there is no such row, which `F.embedding` refuses as nn.Embedding does.
        tier = (indices.unsqueeze(-1) >= self._bounds).sum(-1) - 1
        row = indices.unsqueeze(-1) * F.embedding(tier, self._width)
        place = row + F.embedding(tier, self._begin)  # (..., k): the first bit of each code
        byte = place // 8
        # A code of up to 4 bits lies in two bytes at most; past the end there is none to read.
        following = (byte + 1).clamp(max=self.code_bytes - 1)
        pair = self.codes[byte.clamp(max=self.code_bytes - 1)].int()
        pair = pair | self.codes[following].int() << 8
        # By name, since torch's exporter to ONNX knows the function and not the operator >>.
        code = torch.bitwise_right_shift(pair, (place % 8).int()) & F.embedding(tier, self._mask)
        vectors = F.embedding(tier, self._lowest) + code * F.embedding(tier, self._step)
        return without_padding(vectors, indices, self.padding_idx)


class MixedPrecisionLowRankEmbedding(FactorisedEmbedding):
    """A frozen embedding whose table is A B, with A of mixed precision and B in 8 bits.

    A (V, k) is a `MixedPrecisionEmbedding`. Each row of B (k, d) has a step of its own; its codes
    are the bytes `B_codes`, and code c stands for (c - 127.5) times the step.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: d, the length of a vector.
        rank: k.
        tiers: T, the number of tiers of A.
        code_bytes: Bytes of A's codes.
        padding_idx: A row that reads as exact zeros.

    Shapes:
        indices of any shape (...), int32 or int64, give vectors of shape (..., d).

    Raises:
        InputError: if rank, tiers or padding_idx is out of range.
        IndexError: when called (on a CPU) with an index that is out of range.
    """

    B_codes: Tensor
    B_step: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        rank: int,
        tiers: int,
        code_bytes: int,
        padding_idx: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, rank, padding_idx)
        self.tiers = tiers
        self.code_bytes = code_bytes
        self.A = MixedPrecisionEmbedding(
            num_embeddings, rank, tiers, code_bytes, padding_idx, device, dtype
        )
        codes = torch.zeros(rank, embedding_dim, dtype=torch.uint8, device=device)
        self.register_buffer("B_codes", codes)
        self.register_buffer("B_step", torch.zeros(rank, device=device, dtype=dtype))

    @classmethod
    def from_parts(
        cls, rows: MixedPrecisionEmbedding, codes: Tensor, step: Tensor
    ) -> "MixedPrecisionLowRankEmbedding":
        """Put packed rows of A, the codes of B (k, d) and its steps (k,) together."""
        rank, dim = codes.shape
        embedding = cls(rows.num_embeddings, dim, rank, rows.tiers, 0, rows.padding_idx, "meta")
        embedding.code_bytes = rows.code_bytes
        embedding.A, embedding.B_codes, embedding.B_step = rows, codes, step
        return embedding

    def runs(self) -> Tensor:
        """The tier of each row (V,)."""
        return self.A.runs()

    def permuted(self, order: Tensor) -> dict[str, Tensor]:
        """See `CompressedEmbedding.permuted`."""
        rows = {f"A.{name}": tensor for name, tensor in self.A.permuted(order).items()}
        return {**self.state_dict(), **rows}

    def lay_out(self) -> None:
        """See `CompressedEmbedding`."""
        self.A.lay_out()

    def factors(self) -> tuple[nn.Module, Tensor]:
        """The embedding that reads rows of A, of k columns, and B (k, d)."""
        return self.A, (self.B_codes.to(self.B_step.dtype) - 127.5) * self.B_step.unsqueeze(1)
