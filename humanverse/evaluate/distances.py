"""How far two sets of features are apart, in double precision: numbers in, a number out.

FID (arXiv 1706.08500) compares Gaussians, and is too large for few samples: it falls as they get
more, so it can be compared for one number of samples alone. KID (arXiv 1801.01401) has no such
bias, and comes first therefore. CMMD (arXiv 2401.09603) is for CLIP's embeddings.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import DataError
from humanverse.evaluate.statistics import Floats, Statistics

Features = NDArray[np.floating]
"""(n, W)"""

SUBSETS: Final = 100
SUBSET_SIZE: Final = 1000
"""Of KID, as torch-fidelity and torchmetrics have them."""
KID_SEED: Final = 2020
"""torch-fidelity's: its generator is asked as it asks it, so its numbers come out."""
SIGMA: Final = 10.0
SCALE: Final = 1000.0
"""Of CMMD, as its authors' code has them."""
ROWS: Final = 1024
"""Of a kernel's matrix that are in memory at once."""


class Kid(NamedTuple):
    """Mean and standard deviation over subsets; one subset has no deviation."""

    mean: float
    deviation: float | None
    subsets: int
    size: int


def fid(one: Statistics, other: Statistics) -> float:
    """The Frechet distance of two Gaussians, squared, as everybody tells it.

    The root of the covariances' product is taken as of a symmetric matrix, which singular ones
    (fewer samples than numbers in a feature) do not trouble.

    Raises:
        DataError: a set has fewer than two samples, or features of another width.
    """
    if one.mean.shape != other.mean.shape:
        raise DataError(f"features of {len(one.mean)} and {len(other.mean)} numbers do not compare")
    step = one.mean - other.mean
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    root = _root(one.covariance)
    product = root @ other.covariance @ root
    # It is symmetric but for rounding, which alone makes an eigenvalue negative.
    values = np.linalg.eigvalsh((product + product.T) / 2).clip(0)
    return max(float(step @ step + traces - 2 * np.sqrt(values).sum()), 0.0)


def kid(
    real: Features,
    made: Features,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = KID_SEED,
) -> Kid:
    """The squared maximum mean discrepancy by the kernel (x y / W + 1)^3, unbiased.

    Where a set has no more than `size` samples, one subset of all is taken.

    Raises:
        DataError: a set has fewer than two samples.
    """
    least = min(len(real), len(made))
    if least < 2:
        raise DataError(f"KID of {least} pictures cannot be: 2 or more are wanted")
    if least <= size:
        subsets, size = 1, least
    random = np.random.RandomState(seed)  # whose draws are the same for ever
    values = []
    for _ in range(subsets):
        x = np.asarray(real[random.choice(len(real), size, replace=False)], np.float64)
        y = np.asarray(made[random.choice(len(made), size, replace=False)], np.float64)
        values.append(_unbiased(x, y))
    spread = float(np.std(values)) if subsets > 1 else None
    return Kid(float(np.mean(values)), spread, subsets, size)


def cmmd(real: Features, made: Features, sigma: float = SIGMA, scale: float = SCALE) -> float:
    """The squared maximum mean discrepancy of directions by a Gaussian, biased, times a scale.

    Raises:
        DataError: a set is empty, or an embedding has no direction.
    """
    x, y = unit(real), unit(made)
    if not len(x) or not len(y):
        raise DataError("CMMD of no pictures cannot be")
    apart = _gaussian(x, x, sigma) + _gaussian(y, y, sigma) - 2 * _gaussian(x, y, sigma)
    return scale * apart


def clip_score(pictures: Features, texts: Features) -> float:
    """100 x the cosine of each picture and its text, 0 if that is negative; the mean.

    By Hessel et al. (arXiv 2104.08718), whose own weight of 2.5 nobody uses in such tables.

    Raises:
        DataError: there is none, or an embedding has no direction.
    """
    if not len(pictures):
        raise DataError("a CLIP score of no pictures cannot be")
    cosines = np.einsum("nw,nw->n", unit(pictures), unit(texts))
    return float(100 * cosines.clip(0).mean())


def unit(embeddings: Features) -> Floats:
    """Embeddings (n, W) at length 1.

    Raises:
        DataError: one has no direction.
    """
    wide = np.asarray(embeddings, np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > 0)).all():
        raise DataError("an embedding has no direction: are these the right weights?")
    out: Floats = wide / length
    return out


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root


def _unbiased(x: Floats, y: Floats) -> float:
    width, count = x.shape[1], len(x)
    xx, yy, xy = ((a @ b.T / width + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    off = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
    return float(off / (count * (count - 1)) - 2 * xy.mean())


def _gaussian(x: Floats, y: Floats, sigma: float) -> float:
    """The kernel's mean over all pairs; a part of its rows at a time."""
    whole = 0.0
    for start in range(0, len(x), ROWS):
        part = x[start : start + ROWS]
        squared = (part**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * part @ y.T
        whole += float(np.exp(-squared / (2 * sigma**2)).sum())
    return whole / (len(x) * len(y))
