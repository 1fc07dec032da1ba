"""Codebooks: reference values and reference vectors that lie where a table's numbers are.

Both come from k-means, which alternates two steps that never increase the squared error: each point
goes to its nearest centroid, and each centroid to the mean of its points (Lloyd 1982, written in
1957). Everything runs on the CPU in numpy, whose argmin is several times faster than torch's. The
result does not depend on a run's seed.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ccompress.errors import InputError
from ccompress.numerics.packing import refuse_unusable
from ccompress.numerics.rates import CENTROIDS
from ccompress.numerics.svd import BLOCK

# Bins of a histogram of the table's numbers. With more bins, single large numbers would get bins of
# their own, which the cube root magnifies: rounding is then up to 10 times worse.
_BINS = 256
_ROUNDS = 300  # of Lloyd-Max at most; 3 bits of a table of word vectors take 41
_PRODUCT_ROUNDS = 25  # as in fastText

Array = np.ndarray[Any, Any]


@torch.no_grad()
def lloyd_max(table: Tensor, bits: int) -> Tensor:
    """2^b reference values that minimise the squared error of rounding a table to them.

    Lloyd (1982) and Max (1960): each value is the mean of the numbers that are nearer to it than to
    any other. It begins at the optimum for many values, whose density is the cube root of the
    numbers' density (Panter and Dite 1951), and ends when no number changes its value. The numbers
    are sorted once, so that a round takes one binary search per value.

    Args:
        table: E, of any shape and floating dtype.
        bits: b, 1 to 16.

    Returns:
        The values, ascending, of shape (2^b,), in the table's dtype and on its device. A value that
        is nearest to no number stays where it began.

    Raises:
        InputError: if the table is empty or holds NaN or infinity.
    """
    refuse_unusable(table)
    numbers = np.sort(table.double().cpu().numpy(), axis=None)
    sums = np.concatenate([[0.0], np.cumsum(numbers)])
    values = _spread(numbers, 2**bits)
    edges = np.zeros(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        inner = np.searchsorted(numbers, (values[1:] + values[:-1]) / 2)
        before, edges = edges, np.concatenate([[0], inner, [len(numbers)]])
        if np.array_equal(before, edges):
            break
        counts = np.diff(edges)
        values = np.where(counts > 0, np.diff(sums[edges]) / counts.clip(min=1), values)
    return torch.from_numpy(values).to(table)


def _spread(numbers: Array, count: int) -> Array:
    """`count` values, ascending, as dense as the cube root of the density of `numbers`."""
    histogram, edges = np.histogram(numbers, _BINS)
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(histogram))])
    values: Array = np.interp((np.arange(count) + 0.5) / count, share / share[-1], edges)
    return values


@torch.no_grad()
def nearest(table: Tensor, values: Tensor) -> Tensor:
    """For each number of a table, the index (int32) of the nearest of the ascending `values`."""
    middles = (values[1:].double() + values[:-1].double()) / 2
    indices = torch.empty(table.shape, dtype=torch.int32, device=table.device)
    for out, block in zip(torch.split(indices, BLOCK), torch.split(table, BLOCK), strict=True):
        out.copy_(torch.bucketize(block.double(), middles, out_int32=True))
    return indices


def owners(dim: int, parts: int, device: torch.device | None = None) -> Tensor:
    """For each of d columns, the sub-vector it belongs to (d,). Sizes differ by one at most."""
    return torch.arange(dim, device=device) * parts // dim


@torch.no_grad()
def product(table: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Product quantization (Jegou, Douze and Schmid 2011, section II.B).

    Each vector is cut into sub-vectors, and each sub-vector is replaced by the nearest of 256
    centroids, which k-means places so that the squared error is small. As in fastText (Joulin et
    al. 2016), k-means begins at 256 rows drawn at random and takes 25 rounds.

    Args:
        table: E, of shape (V, d), any floating dtype, of at least 256 rows.
        parts: n, the number of sub-vectors, 1 to d; see `owners`.

    Returns:
        Codes, uint8 of shape (V, n), and centroids (256, d) in the table's dtype, both on its
        device: sub-vector j of row i is row `codes[i, j]` of the columns that j owns.

    Raises:
        InputError: if the table is empty, holds NaN or infinity, or has fewer than 256 rows.
    """
    refuse_unusable(table)
    if len(table) < CENTROIDS:
        raise InputError(f"product quantization needs {CENTROIDS} rows or more, not {len(table)}")
    codes = np.empty((len(table), parts), dtype=np.uint8)
    centroids = np.empty((CENTROIDS, table.shape[1]), dtype=np.float32)
    owner = owners(table.shape[1], parts)
    draw = np.random.default_rng(0)
    for part in range(parts):
        columns = owner == part
        points = table[:, columns.to(table.device)]
        k_means = _k_means_in_one_dimension if points.shape[1] == 1 else _k_means
        centroids[:, columns.numpy()], codes[:, part] = k_means(points, draw)
    return torch.from_numpy(codes).to(table.device), torch.from_numpy(centroids).to(table)


def _k_means_in_one_dimension(table: Tensor, draw: np.random.Generator) -> tuple[Array, Array]:
    """As `_k_means`, of points (V, 1); nothing is drawn."""
    values = lloyd_max(table, 8).float()
    return values.unsqueeze(1).cpu().numpy(), nearest(table[:, 0], values).cpu().numpy()


def _k_means(table: Tensor, draw: np.random.Generator) -> tuple[Array, Array]:
    """256 centroids (256, m) of points (V, m), and for each point the index of its nearest (V,)."""
    points = table.float().cpu().numpy()
    centroids = points[draw.choice(len(points), CENTROIDS, replace=False)]
    assigned = _nearest_points(points, centroids)
    for _ in range(_PRODUCT_ROUNDS):
        counts = np.bincount(assigned, minlength=CENTROIDS)
        for column, coordinates in zip(centroids.T, points.T, strict=True):
            sums = np.bincount(assigned, weights=coordinates, minlength=CENTROIDS)
            # A centroid that no point is nearest to stays where it is.
            column[:] = np.where(counts > 0, sums / counts.clip(min=1), column)
        before, assigned = assigned, _nearest_points(points, centroids)
        if np.array_equal(before, assigned):
            break
    return centroids, assigned


def _nearest_points(points: Array, centroids: Array) -> Array:
    """The index of the centroid nearest to each point, (V,)."""
    half, turned = torch.from_numpy(np.square(centroids).sum(1) / 2), torch.from_numpy(centroids).T
    # |x - c|^2 / 2 without |x|^2 / 2, which is the same for every c. A block stays in the cache.
    # torch takes the product, because it keeps to the run's number of threads.
    blocks = torch.split(torch.from_numpy(points), 1024)
    distances = (torch.addmm(half, block, turned, alpha=-1) for block in blocks)
    return np.concatenate([block.numpy().argmin(1) for block in distances])
