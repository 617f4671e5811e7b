"""Samples side by side in one picture: picture, depth, normals, pose."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.codec import normal_codes
from humanverse.train.painter import Painted

Pixels = NDArray[np.uint8]


def grid(samples: Painted, *beside: Pixels) -> Pixels:
    """A row a sample, (N H, k W, 3); `beside` are further pictures (N, H, W, 3) of each."""
    columns = [samples.rgb]
    if samples.depth is not None:
        grey = np.round(samples.depth * 255).astype(np.uint8)
        columns.append(np.repeat(grey[..., None], 3, axis=3))
    if samples.normals is not None:
        columns.append(np.stack([normal_codes(one) for one in samples.normals]))
    columns += beside
    return np.concatenate([np.concatenate(row, axis=1) for row in zip(*columns, strict=True)])


def write_png(path: Path, pixels: Pixels) -> None:
    """RGB (H, W, 3) as PNG, there entirely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt = path.with_suffix(".attempt")
    attempt.write_bytes(cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes())
    attempt.replace(path)
