"""The singular value decomposition of an embedding table.

A table has V rows (words) and d columns, and V is much larger than d, so everything here goes
through the d x d Gram matrix E^T E in float64: with E = U S V^T its eigenvectors are the columns
of V, its eigenvalues the squares of S, and U S = E V needs no U. No more than one block of rows
is held in float64 at a time. Tensors may lie on any device with float64.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ccompress.errors import InputError

BLOCK = 8192  # rows held in float64 at a time: 20 MB at d = 300
# Rows of the spectrum, which runs beside a training whose memory is measured: the buffers that a
# product leaves behind grow with its rows.
SPECTRUM_BLOCK = 1024


@torch.no_grad()
def factorize(table: Tensor, rank: int, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The best factors of a rank: A = U_k sqrt(S_k) and B = sqrt(S_k) V_k^T (Eckart and Young).

    A B minimises the Frobenius norm ||E - A B||, and A^T A = B B^T = S_k. Row i of A depends on
    row i of E alone, so a row of zeros stays exactly zero. In each row of B the entry that is
    largest in magnitude is positive, which settles the signs.

    With `weights` w it minimises sum_i w_i ||E_i - A_i B||^2 over the rows (Acharya et al. count
    all rows alike). The minimum is E V_k V_k^T, where V_k are the leading eigenvectors of
    E^T diag(w) E: weights decide which k directions are kept, and in these every row, whatever its
    weight, is as near to E as can be. That matrix of rank k is then factored as one without
    weights is, so that the two factors are balanced.

    Against `numpy.linalg.svd` in float64 (2,000 x 300, singular values falling over 4 orders of
    magnitude): ||A B - E_k|| / ||E|| is 2e-14 for a float64 table, and 4e-8, float32's own
    rounding, for a float32 one, whatever the rank.

    Args:
        table: E, of shape (V, d), any floating dtype.
        rank: k, 1 to d. Directions in which the table has no extent, if the rank reaches that
            far, get a column of zeros (to rounding) in A and a small row in B: finite, and
            training can still use them.
        weights: w, of shape (V,), not negative; None counts all rows alike.

    Returns:
        A of shape (V, k) and B of shape (k, d), in the table's dtype and on its device.

    Raises:
        InputError: if the rank is out of range or the table holds NaN or infinity.
    """
    values, directions = (
        _leading(table, rank) if weights is None else _leading_weighted(table, rank, weights)
    )
    # A B = E V_k V_k^T whatever the scale is, so a floor costs no accuracy and prevents 0 / 0
    scale = values.clamp_min(_floor(values)).sqrt() if values[0] > 0 else torch.ones_like(values)
    return _times(table, directions / scale), (directions * scale).T.to(table.dtype).contiguous()


@torch.no_grad()
def project(table: Tensor, rank: int, scaled: bool = True) -> Tensor:
    """The table in the coordinates of its `rank` leading directions: U_k S_k = E V_k.

    Args:
        table: E, of shape (V, d), any floating dtype.
        rank: k, 1 to d.
        scaled: Whether a column is as long as its singular value; otherwise the result is U_k,
            whose columns have length 1. A column of a direction in which the table has no extent
            is zero in both.

    Returns:
        A tensor of shape (V, k), in the table's dtype and on its device.

    Raises:
        InputError: if the rank is out of range or the table holds NaN or infinity.
    """
    values, directions = _leading(table, rank)
    if not scaled:
        directions = directions / values.where(values > _floor(values), torch.inf)
    return _times(table, directions)


@torch.no_grad()
def spectrum(table: Tensor) -> Tensor:
    """The singular values of a (V, d) table, largest first: min(V, d) numbers in float64.

    As square roots of the Gram matrix's eigenvalues they are exact to about 1e-8 of the largest.

    Raises:
        InputError: if the table holds NaN or infinity.
    """
    dim = table.shape[1]
    values, _ = _eigen(_gram(table, dim, block=SPECTRUM_BLOCK), dim)
    return values[: min(table.shape)]


@torch.no_grad()
def relative_error(table: Tensor, read: Callable[[Tensor], Tensor]) -> float:
    """The relative error ||E - E'|| / ||E|| in the Frobenius norm; 0 for two tables of zeros.

    Args:
        table: E, of shape (V, d).
        read: maps row numbers, of shape (n,), to those rows of E', of shape (n, d): a compressed
            embedding, or `lambda rows: A[rows] @ B`.
    """
    rows = torch.arange(len(table), device=table.device)
    difference, norm = 0.0, 0.0
    for numbers, block in zip(torch.split(rows, BLOCK), _blocks(table), strict=True):
        difference += (block - read(numbers).double()).square().sum().item()
        norm += block.square().sum().item()
    return (difference / norm) ** 0.5 if difference else 0.0


def _floor(values: Tensor) -> Tensor:
    """Singular values up to this one are zero to rounding; `values` (k,) are the largest first."""
    floor: Tensor = values[0] * torch.finfo(values.dtype).eps ** 0.5
    return floor


def _blocks(table: Tensor, rows: int = BLOCK) -> Iterator[Tensor]:
    return (block.double() for block in torch.split(table, rows))


def _times(table: Tensor, right: Tensor) -> Tensor:
    """The product of a (V, d) table and a (d, k) float64 matrix, in the table's dtype."""
    product = table.new_empty(len(table), right.shape[1])
    for out, block in zip(torch.split(product, BLOCK), _blocks(table), strict=True):
        out.copy_(block @ right)
    return product


def _leading(table: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The `rank` largest singular values (rank,) and right singular vectors (d, rank), float64."""
    return _eigen(_gram(table, rank), rank)


def _leading_weighted(table: Tensor, rank: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """As `_leading`, of the table in the leading directions of E^T diag(w) E."""
    _, basis = _eigen(_gram(table, rank, weights), rank)
    values, turned = _eigen(basis.T @ _gram(table, rank) @ basis, rank)
    return values, _signed(basis @ turned)


def _gram(table: Tensor, rank: int, weights: Tensor | None = None, block: int = BLOCK) -> Tensor:
    """E^T E, or E^T diag(w) E, of shape (d, d) in float64; checks the rank against d."""
    dim = table.shape[1]
    if not 1 <= rank <= dim:
        raise InputError(f"rank {rank} is out of range: a table of {dim} columns has 1 to {dim}")
    gram = torch.zeros(dim, dim, dtype=torch.float64, device=table.device)
    if weights is None:
        for rows in _blocks(table, block):
            gram.addmm_(rows.T, rows)
    else:
        parts = torch.split(weights.double().unsqueeze(1), block)
        for rows, part in zip(_blocks(table, block), parts, strict=True):
            gram.addmm_(rows.T, part * rows)
    if not gram.isfinite().all():
        raise InputError("the embedding table holds NaN or infinite numbers: it has no SVD")
    return gram


def _eigen(gram: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Roots of the largest eigenvalues (rank,), and their eigenvectors (d, rank), signs settled."""
    eigenvalues, vectors = torch.linalg.eigh(gram)  # ascending
    values = eigenvalues.flip(0)[:rank].clamp_min(0).sqrt()
    return values, _signed(vectors.flip(1)[:, :rank])


def _signed(directions: Tensor) -> Tensor:
    """Directions (d, k), the entry of each that is largest in magnitude made positive."""
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return directions * largest.sign()
