"""Maps as PNG: what any reader sees in the files is what was given."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from humanverse.codec import decode_depth, decode_normals, encode_depth, encode_normals
from humanverse.png import Opened, encode_png
from humanverse.testing.scenes import render

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
SIDES = st.integers(1, 150)
KINDS = [(np.uint16, ()), (np.uint8, (3,)), (np.uint8, ()), (np.uint16, (3,))]


@given(st.data(), SIDES, SIDES, st.sampled_from([(np.uint16, ()), (np.uint8, (3,))]))
def test_opencv_and_pillow_read_what_was_written(data, height, width, kind):
    dtype, channels = kind
    pixels = data.draw(arrays(dtype, (height, width, *channels)))
    file = encode_png(pixels)
    flag = cv2.IMREAD_COLOR_RGB if channels else cv2.IMREAD_UNCHANGED
    assert np.array_equal(cv2.imdecode(np.frombuffer(file, np.uint8), flag), pixels)
    with Image.open(BytesIO(file)) as picture:
        picture.verify()
    with Image.open(BytesIO(file)) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


def test_colours_of_16_bits_and_grays_of_8_are_written_too():
    rng = np.random.default_rng(0)
    for dtype, shape in ((np.uint16, (5, 7, 3)), (np.uint8, (5, 7))):
        pixels = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)
        read = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(read[..., ::-1] if pixels.ndim == 3 else read, pixels)


def test_parts_of_larger_arrays_are_written_as_they_look():
    whole = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    part = whole[::2, 5:25:3]
    read = cv2.imdecode(np.frombuffer(encode_png(part), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read, part)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)]
)
def test_what_no_such_png_holds_is_refused(wrong):
    with pytest.raises(ValueError, match="no PNG holds"):
        encode_png(wrong)


@given(
    st.floats(-1e4, 1e4, width=32),
    st.floats(0, 1e4, width=32),
    st.integers(0, 2**32 - 1),
)
def test_depth_comes_back_to_half_a_step(low, spread, seed):
    rng = np.random.default_rng(seed)
    depth = (low + spread * rng.random((9, 11))).astype(np.float32)
    png, scale, offset = encode_depth(depth)
    # Beside the step, numbers of 32 bits have steps of their own.
    fine = 4 * np.spacing(np.abs(depth).max())
    assert np.abs(decode_depth(png, scale, offset) - depth).max() <= 0.51 * scale + fine


def test_a_map_that_is_flat_or_not_finite():
    flat = np.full((3, 4), 7.25, np.float32)
    assert np.array_equal(decode_depth(*encode_depth(flat)), flat)
    for hole in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="not finite"):
            encode_depth(np.array([[1, hole]], np.float32))


def test_files_of_the_former_writer_are_read():
    scene = render(1, 64, 48, people=1)
    codes = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    former = cv2.imencode(".png", codes, fast)[1].tobytes()
    assert np.array_equal(decode_depth(former, 0.5, 2), codes * np.float32(0.5) + 2)
    colours = np.rint((scene.normals + 1) * 127.5).astype(np.uint8)
    former = cv2.imencode(".png", colours[..., ::-1], fast)[1].tobytes()
    assert np.array_equal(decode_normals(former), decode_normals(encode_normals(scene.normals)))


@given(st.data(), SIDES, st.integers(1, 200), st.sampled_from(KINDS), st.booleans())
def test_any_map_is_read_as_it_was_written_by_us_or_others(data, height, width, kind, ours):
    dtype, channels = kind
    seed = data.draw(st.integers(0, 99))
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(
        0, top, (height, width, *channels), dtype, endpoint=True
    )
    turned = pixels[..., ::-1] if channels else pixels
    file = encode_png(pixels) if ours else cv2.imencode(".png", turned)[1].tobytes()
    read = Opened(file)
    assert (read.shape, read.dtype) == (pixels.shape, dtype)
    assert np.array_equal(read.pixels(), pixels)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_damaged_file_is_refused_or_read_but_never_worse(place, bit):
    """A flipped bit in the pixels is always found; in the header another file may result."""
    file = bytearray(encode_png(PICTURE))
    place %= len(file)
    file[place] ^= 1 << bit
    try:
        pixels = Opened(bytes(file)).pixels()
    except ValueError:
        return
    assert place < 33 or place >= len(file) - 16 or pixels.shape == (30, 40, 3)
    assert not 41 <= place < len(file) - 16


@pytest.mark.parametrize("cut", [0, 10, 40, 60, -20, -1])
def test_a_file_cut_short_is_refused(cut):
    with pytest.raises(ValueError, match="it "):
        Opened(encode_png(np.ones((9, 9), np.uint16))[:cut])
