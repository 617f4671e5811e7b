"""The square in the middle of each picture, whatever its format and however it lies."""

import io

import numpy as np
import pytest
from PIL import Image

from humanverse.codec import decode_jpeg
from humanverse.collect.picture import BadPicture, Bounds, centre, normalise
from humanverse.collect.square import CollectSquare

BOUNDS = Bounds(max_side=64, min_side=16, max_pixels=10_000_000, quality=95, square=64)
LARGER = Bounds(64, 16, 10_000_000, 95, square=64, enlarge=True)


def slope(width, height):
    """Red grows with x by 1 a pixel, green with y: a pixel tells where it lay."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, x * 0 + 128], axis=2).astype(np.uint8))


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("width", "height"), [(240, 128), (129, 255), (128, 128), (200, 199)])
def test_the_middle_is_kept_and_shrunk(kind, width, height):
    options = {} if kind == "PNG" else {"quality": 100}
    picture = normalise(encoded(slope(width, height), kind, **options), BOUNDS)
    assert (picture.width, picture.height) == (64, 64)
    assert (picture.original_width, picture.original_height) == (width, height)
    left, top, side = centre(width, height)
    pixels = decode_jpeg(picture.jpeg).astype(float)
    places = (np.arange(64) + 0.5) * side / 64 - 0.5
    np.testing.assert_allclose(pixels[:, :, 0].mean(axis=0), left + places, atol=2.5)
    np.testing.assert_allclose(pixels[:, :, 1].mean(axis=1), top + places, atol=2.5)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_it_is_the_middle_of_the_upright_picture(kind):
    """Lying it is 201 x 100: a pixel more is cut from one end than from the other."""
    upright = slope(100, 201)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    options = {"exif": exif} | ({"quality": 100} if kind == "JPEG" else {})
    turned, plain = (
        normalise(encoded(image, kind, **more), BOUNDS)
        for image, more in ((lying, options), (upright, options | {"exif": Image.Exif()}))
    )
    assert (turned.original_width, turned.original_height) == (100, 201)
    difference = decode_jpeg(turned.jpeg).astype(int) - decode_jpeg(plain.jpeg)
    assert np.abs(difference).mean() < 1.5


def test_a_square_of_that_side_is_kept_as_it_came():
    data = encoded(slope(64, 64), "JPEG", quality=90)
    picture = normalise(data, BOUNDS)
    assert np.array_equal(decode_jpeg(picture.jpeg), decode_jpeg(data))
    other = normalise(encoded(slope(80, 64), "JPEG", quality=90), BOUNDS)
    assert (other.width, other.height) == (64, 64)


@pytest.mark.parametrize(("bounds", "side"), [(BOUNDS, 40), (LARGER, 64)])
def test_a_smaller_one_is_made_larger_only_if_asked(bounds, side):
    for kind in ("PNG", "JPEG"):
        picture = normalise(encoded(slope(50, 40), kind), bounds)
        assert (picture.width, picture.height) == (side, side)


def test_sides_too_short_are_refused_as_served():
    with pytest.raises(BadPicture, match="too_small"):
        normalise(encoded(slope(100, 12)), LARGER)


def test_the_stage_brings_squares(tmp_path):
    import pyarrow as pa

    (tmp_path / "a.png").write_bytes(encoded(slope(100, 80)))
    columns = {name: [None] for name in CollectSquare.reads}
    row = columns | {"key": ["k"], "location": [f"file:{tmp_path / 'a.png'}"]}
    stage = CollectSquare(side=32, min_side=16, decoders=1)
    stage.open()
    try:
        (told,) = stage(pa.table(row)).to_pylist()
    finally:
        stage.close()
    assert (told["width"], told["height"], told["original_width"]) == (32, 32, 100)
    assert told["reason"] is None
    for side in (4, 70_000):
        with pytest.raises(ValueError, match="side is 16 to"):
            CollectSquare(side=side)
