import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.odd import odd_boxes, odd_pictures

from humanverse.models.crops import PIXEL_CENTRE, Window, cut, frames_of, placed, windows_of
from humanverse.models.torched import Engine, How

torch = pytest.importorskip("torch", reason="torch is not installed")
affine_transform = pytest.importorskip("scipy.ndimage").affine_transform

SHAPE = (48, 64)
STEP = 2 * 256 / 32 + 1
"""Levels between noise's pixels 1/32 apart along both axes: ties are rounded either way."""


@pytest.fixture(scope="module")
def engine():
    return Engine(torch.nn.Identity(), How(device="cpu"))


def by_opencv(window, shape=SHAPE):
    (x, y), (across, down) = window.corner, window.step
    matrix = np.array([[1 / across, 0, -x / across], [0, 1 / down, -y / down]])
    return cv2.warpAffine(window.image, matrix, shape, flags=cv2.INTER_LINEAR)


def by_scipy(window, shape=SHAPE):
    channels = [
        affine_transform(
            window.image[..., channel],
            np.array(window.step[::-1]),
            window.corner[::-1],
            shape[::-1],
            order=1,
        )
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


def apart(ours, reference):
    return np.abs(ours.astype(int) - reference.astype(int))


def odd_windows(unbiased):
    windows = []
    for image in odd_pictures():
        frames = frames_of(odd_boxes(*image.shape[:2]), SHAPE)
        windows += windows_of(image, frames, SHAPE, unbiased)
    return windows


@pytest.mark.parametrize("unbiased", [False, True])
def test_crops_of_several_images_agree_with_scipy_to_one_level(engine, unbiased):
    windows = odd_windows(unbiased)
    crops = cut(engine, windows, SHAPE, "cut").numpy()
    differences = apart(crops, np.stack([by_scipy(window) for window in windows]))
    assert differences.max() <= 1
    assert (differences > 0).mean() < 0.02


@pytest.mark.parametrize("unbiased", [False, True])
def test_crops_of_several_images_agree_with_opencv(engine, unbiased):
    windows = odd_windows(unbiased)
    crops = cut(engine, windows, SHAPE, "blend").numpy()
    differences = apart(crops, np.stack([by_opencv(window) for window in windows]))
    assert differences.max() <= STEP
    assert (differences > 1).mean() < 0.02


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    st.floats(0.01, 20),
    st.integers(0, 100),
)
def test_any_window_agrees_with_opencv(corner, step, seed):
    engine = Engine(torch.nn.Identity(), How(device="cpu"))
    image = np.random.default_rng(seed).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    window = Window(image, corner, (step, step))
    (crop,) = cut(engine, [window], SHAPE, "blend").numpy()
    assert apart(crop, by_opencv(window)).max() <= STEP


def test_a_frame_is_the_box_grown_to_the_shape_of_the_input():
    frames = frames_of(np.array([[10, 20, 30, 100], [0, 0, 80, 10]], np.float32), (48, 64))
    assert frames.centre.tolist() == [[20, 60], [40, 5]]
    assert frames.size[0] == pytest.approx([75, 100])
    assert frames.size[1] == pytest.approx([100, 400 / 3])


def test_a_box_without_area_still_has_a_frame():
    frames = frames_of(np.array([[5, 5, 5, 5]], np.float32), (48, 64))
    assert (frames.size > 0).all()


def test_no_boxes_give_no_windows():
    image = np.zeros((4, 4, 3), np.uint8)
    assert windows_of(image, frames_of(np.zeros((0, 4), np.float32), SHAPE), SHAPE, False) == []


def test_places_come_back_in_pixels_of_their_own_image():
    boxes = np.array([[10, 20, 58, 84]], np.float32)
    frames = frames_of(boxes, SHAPE, padding=1)
    middle = (np.full((17, 2), 0.5), np.linspace(-1, 2, 17))
    nobody = frames_of(np.zeros((0, 4), np.float32), SHAPE)
    (empty, people) = placed([middle], [nobody, frames])
    assert empty.shape == (0, 133, 3)
    assert people[0, :17, :2] == pytest.approx(np.tile([34 + PIXEL_CENTRE, 52.5], (17, 1)))
    assert people[0, :, 2].min() == 0
    assert people[0, :, 2].max() == 1
    assert (people[0, 17:] == 0).all()
