"""Pictures and boxes of the kinds that break croppers, for adapters and their references."""

import numpy as np

SHAPES = ((120, 160), (3, 2), (7, 500), (400, 9), (1, 1))


def odd_pictures(seed=0):
    """Smooth noise in shapes from usual to absurd."""
    rng = np.random.default_rng(seed)
    for height, width in SHAPES:
        coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
        yield np.ascontiguousarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width])


def odd_boxes(height, width):
    """Usual, tiny, huge, of an extreme aspect, at the edges, outside."""
    whole = np.array([width, height, width, height], np.float32)
    shares = [
        (0.2, 0.1, 0.7, 0.9),
        (0.5, 0.5, 0.503, 0.504),
        (-2.0, -3.0, 4.0, 3.5),
        (0.0, 0.4, 1.0, 0.43),
        (0.48, 0.0, 0.5, 1.0),
        (0.0, 0.0, 0.3, 0.3),
        (0.8, 0.7, 1.0, 1.0),
        (1.2, 1.1, 1.6, 1.9),
    ]
    return (np.array(shares) * whole).astype(np.float32)
