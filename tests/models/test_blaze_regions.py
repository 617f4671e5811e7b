import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.models.blaze.regions import Region, tiles

coordinates = st.floats(-500, 2000)
regions = st.builds(Region, coordinates, coordinates, st.floats(1, 3000), st.floats(-3.2, 3.2))
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5).map(np.array)


@settings(deadline=None)
@given(regions, points, st.sampled_from([128, 224, 256]))
def test_a_point_taken_to_the_crop_and_back_is_itself(region, there, size):
    back = region.to_image(region.to_crop(there, size), size)
    assert np.allclose(back, there, atol=1e-5)


@settings(deadline=None)
@given(regions)
def test_the_middle_of_the_crop_is_the_centre_of_the_region(region):
    assert np.allclose(region.to_image(np.array([64, 64]), 128), (region.x, region.y))


@settings(deadline=None)
@given(coordinates, coordinates, st.floats(1, 900), st.floats(-3.2, 3.2))
def test_a_region_that_points_at_a_tip_shows_it_above_the_middle(x, y, length, turn):
    """At scale 1 the tip lies on the middle of the upper edge."""
    centre = np.array([x, y])
    tip = centre + length * np.array([np.cos(turn), np.sin(turn)])
    region = Region.pointing(centre, tip, 1, 90)
    assert np.allclose(region.to_crop(tip, 100), (50, 0), atol=1e-3)


def test_a_region_around_a_tilted_face_shows_its_eyes_level():
    right, left = np.array([10.0, 10.0]), np.array([20.0, 20.0])
    region = Region.around(np.array([right, left]), right, left, scale=2)
    level = region.to_crop(np.array([right, left]), 100)
    assert level[0, 1] == pytest.approx(level[1, 1])
    assert level[0, 0] < level[1, 0]


def test_raising_moves_towards_the_regions_own_top():
    upside_down = Region(100, 100, 50, np.pi)
    raised = upside_down.raised(0.1)
    assert (raised.x, raised.y) == pytest.approx((100, 105))


@pytest.mark.parametrize("side", [100, 128, 400, 1000])
def test_a_crop_shows_the_image_where_the_region_says(side):
    """A small bright square lands where the map puts it, for enlarging and for shrinking crops."""
    image = np.zeros((600, 800, 3), np.uint8)
    image[290:310, 390:410] = 255
    region = Region(420, 310, side, 0.4)
    crop = region.crop(image, 128).astype(float)[..., 0]
    rows, columns = np.mgrid[:128, :128] + 0.5
    middle = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    assert np.abs(middle - region.to_crop(np.array([400, 300]), 128)).max() < 0.7


def test_a_whole_upright_crop_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(Region.whole(image).crop(image, 64), image)


def test_a_crop_outside_the_image_is_black():
    image = np.full((40, 40, 3), 200, np.uint8)
    assert not Region(5000, -5000, 300).crop(image, 64).any()
    assert not Region(5000, -5000, 30000).crop(image, 64)[:20].any()


def test_a_strong_reduction_averages_instead_of_skipping():
    """Fine stripes turn grey."""
    image = np.zeros((1024, 1024, 3), np.uint8)
    image[::2] = 255
    crop = Region.whole(image).crop(image, 128)[2:-2, 2:-2]
    assert crop.min() > 100
    assert crop.max() < 155


@settings(deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 5))
def test_tiles_cover_the_image_and_stay_square(height, width, across):
    image = np.zeros((height, width, 3), np.uint8)
    covered = np.zeros((height, width), np.uint8)
    for tile in tiles(image, across):
        half = tile.side / 2
        corner = (round(tile.x - half), round(tile.y - half))
        opposite = (round(tile.x + half), round(tile.y + half))
        cv2.rectangle(covered, corner, opposite, 1, -1)
    assert covered.all()
