"""Pictures of the report, of whatever shape a sample is."""

import numpy as np
import pytest

from humanverse.codec import decode_jpeg, encode_jpeg
from humanverse.report.overlays import HEIGHT, WIDEST, panel


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1), (40, 5000), (5000, 40), (200, 300)])
def test_a_panel_is_a_jpeg_for_a_picture_of_any_shape(size):
    strip = panel({"image": np.full((*size, 3), 200, np.uint8)})
    assert strip.shape[0] == HEIGHT
    assert strip.shape[1] <= WIDEST
    assert decode_jpeg(encode_jpeg(strip, 85)).shape == strip.shape
    assert strip.max() == 200
