"""Whatever arrives becomes an upright sRGB JPEG without metadata, or a reason."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from humanverse.codec import decode_jpeg
from humanverse.collect.picture import BadPicture, Bounds, normalise
from humanverse.testing.web import pixel_bomb

BOUNDS = Bounds(max_side=512, min_side=16, max_pixels=10_000_000, quality=95)
COLOURS = ((250, 20, 20), (20, 250, 20), (20, 20, 250), (240, 240, 30))


def quarters(width=120, height=80):
    """Red, green above blue, yellow: each corner tells where it came to lie."""
    pixels = np.empty((height, width, 3), np.uint8)
    for index, colour in enumerate(COLOURS):
        rows = slice(0, height // 2) if index < 2 else slice(height // 2, None)
        columns = slice(0, width // 2) if index % 2 == 0 else slice(width // 2, None)
        pixels[rows, columns] = colour
    return Image.fromarray(pixels)


def encoded(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}) | options)
    return out.getvalue()


def corners(picture):
    pixels = decode_jpeg(picture.jpeg).astype(int)
    height, width = pixels.shape[:2]
    return [
        pixels[y, x] for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)
    ]


def assert_quarters(picture, tolerance=40):
    for found, wanted in zip(corners(picture), COLOURS, strict=True):
        assert np.abs(found - wanted).max() <= tolerance


TURNS = {
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.TRANSPOSE],
    6: [Image.Transpose.ROTATE_90],
    7: [Image.Transpose.TRANSVERSE],
    8: [Image.Transpose.ROTATE_270],
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_comes_out_upright_and_without_metadata(orientation, kind):
    image = quarters()
    for turn in TURNS[orientation]:
        image = image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "maker"
    picture = normalise(encoded(image, kind, exif=exif), BOUNDS)
    assert (picture.width, picture.height) == (120, 80)
    assert (picture.original_width, picture.original_height) == (120, 80)
    assert_quarters(picture)
    with Image.open(io.BytesIO(picture.jpeg)) as back:
        assert not back.getexif()
        assert "icc_profile" not in back.info


@pytest.mark.parametrize("mode", ["CMYK", "P", "RGBA", "L", "1", "LA", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode):
    if mode in ("I;16", "I", "F"):
        values = np.full((80, 120), 0.5 if mode == "F" else 32768)
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image, form = Image.fromarray(values.astype(kind)), "TIFF"
        centre = 128
    else:
        image, form = quarters().convert(mode), "TIFF" if mode in ("CMYK", "LA") else "PNG"
        centre = None
    picture = normalise(encoded(image, form), BOUNDS)
    pixels = decode_jpeg(picture.jpeg)
    assert pixels.shape == (80, 120, 3)
    if centre is not None:
        assert abs(int(pixels.mean()) - centre) <= 2
    elif mode in ("CMYK", "P", "RGBA"):
        assert_quarters(picture, tolerance=80)


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert decode_jpeg(normalise(encoded(clear, "PNG"), BOUNDS).jpeg).min() >= 250


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    red, green, blue = decode_jpeg(normalise(data, BOUNDS).jpeg)[32, 32].astype(int)
    assert red > 240 and green < 20 and blue < 20


@pytest.mark.parametrize("size", [(3000, 2000), (513, 100), (512, 512), (700, 699)])
def test_large_pictures_shrink_to_the_side_and_keep_their_shape(size):
    picture = normalise(encoded(quarters(*size)), BOUNDS)
    assert max(picture.width, picture.height) == 512
    assert (picture.original_width, picture.original_height) == size
    assert abs(picture.width / picture.height - size[0] / size[1]) < 0.02
    assert_quarters(picture)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_image"),
        (b"<html>", "not_image"),
        (b"\xff\xd8\xff\xe0 not really", "broken_image"),
        (encoded(quarters())[:900], "broken_image"),
        (encoded(quarters(), "PNG")[:-60], "broken_image"),
        (pixel_bomb(), "too_many_pixels"),
        (encoded(quarters(15, 200)), "too_small"),
    ],
)
def test_what_cannot_be_used_has_a_reason(data, reason):
    with pytest.raises(BadPicture) as caught:
        normalise(data, BOUNDS)
    assert caught.value.reason == reason


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]), st.data())
def test_damaged_files_end_in_a_picture_or_a_reason(kind, data):
    whole = bytearray(encoded(quarters(64, 48), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        picture = normalise(bytes(whole[:cut]), BOUNDS)
    except BadPicture as bad:
        assert bad.reason in ("not_image", "broken_image", "too_many_pixels", "too_small")
    else:
        assert decode_jpeg(picture.jpeg).shape == (picture.height, picture.width, 3)


def test_the_perceptual_hash_survives_resizing_and_tells_pictures_apart():
    random = np.random.default_rng(0)
    hashes = []
    for _ in range(6):
        blocks = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        variants = [
            int(normalise(encoded(blocks.resize(size), quality=q), BOUNDS).phash, 16)
            for size, q in (((400, 400), 95), ((150, 150), 60))
        ]
        assert (variants[0] ^ variants[1]).bit_count() <= 10
        hashes.append(variants[0])
    assert min((a ^ b).bit_count() for a in hashes for b in hashes if a != b) > 12


@pytest.mark.real
def test_real_odd_files_end_in_a_picture_or_a_reason(real):
    portraits = {}
    for path in sorted((real / "photos" / "pillow_edge").iterdir()):
        if path.suffix not in (".txt", "") and path.is_file():
            try:
                portraits[path.name] = normalise(path.read_bytes(), BOUNDS)
            except BadPicture as bad:
                assert bad.reason in ("not_image", "broken_image", "too_many_pixels", "too_small")
    upright = decode_jpeg(portraits["hopper.jpg"].jpeg).astype(int)
    for number in range(2, 9):
        turned = decode_jpeg(portraits[f"hopper_orientation_{number}.jpg"].jpeg).astype(int)
        if turned.shape == upright.shape:
            assert np.abs(turned - upright).mean() < 30
    assert "truncated_jpeg.jpg" not in portraits


@pytest.mark.parametrize("box", [b"iloc", b"av1C", b"iinf"])
def test_a_broken_avif_is_a_broken_image(box):
    out = io.BytesIO()
    Image.new("RGB", (300, 300)).save(out, "AVIF")
    with pytest.raises(BadPicture, match="broken_image"):
        normalise(out.getvalue().replace(box, b"xxxx"), BOUNDS)
