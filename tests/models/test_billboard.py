import numpy as np
import pytest

from humanverse.models.billboard import round_off, stand_up

SHAPE = (120, 160)
RAMP = np.repeat(np.linspace(-3, 5, SHAPE[0], dtype=np.float32)[:, None], SHAPE[1], axis=1)
FACING = np.tile(np.array([0, 0, 1], np.float32), (*SHAPE, 1))


def board(top, bottom, left, right, value=1.0):
    mask = np.zeros(SHAPE, np.float32)
    mask[top:bottom, left:right] = value
    return mask


def blurred(seed):
    """A map of smooth noise."""
    coarse = np.random.default_rng(seed).normal(size=(12, 16)).astype(np.float32)
    return np.kron(coarse, np.ones((10, 10), np.float32))


def test_a_person_on_a_ramp_is_as_near_as_the_ramp_at_the_feet():
    upright = stand_up(RAMP, [board(30, 90, 60, 80)])
    person = upright[30:90, 60:80]
    step = RAMP[1, 0] - RAMP[0, 0]
    assert np.ptp(person) < 1e-4
    assert abs(person[0, 0] - RAMP[90, 0]) < 4 * step


def test_a_person_whom_the_edge_cuts_off_is_as_near_as_the_ground_there():
    person = stand_up(RAMP, [board(40, 120, 60, 90)])[40:120, 60:90]
    assert person.min() > RAMP[112, 0]


def test_nothing_changes_outside_the_masks():
    mask = board(30, 90, 60, 80)
    for seed in range(5):
        before = blurred(seed)
        after = stand_up(before, [mask, board(50, 110, 100, 130, 0.7)])
        outside = (mask == 0) & (board(50, 110, 100, 130) == 0)
        np.testing.assert_array_equal(after[outside], before[outside])
        assert (after[~outside] != before[~outside]).mean() > 0.9


def test_without_people_a_map_stays_as_it_is():
    before = blurred(0)
    for masks in ([], [board(0, 0, 0, 0)], [board(3, 5, 3, 5)]):
        np.testing.assert_array_equal(stand_up(before, masks), before)
        np.testing.assert_array_equal(round_off(FACING, masks), FACING)


def test_the_callers_arrays_are_left_alone():
    before, mask = blurred(1), board(30, 90, 60, 80)
    copies = before.copy(), mask.copy()
    stand_up(before, [mask])
    np.testing.assert_array_equal(before, copies[0])
    np.testing.assert_array_equal(mask, copies[1])


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_people_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(4):
        top, left = rng.integers(0, 60), rng.integers(0, 100)
        masks.append(board(top, top + rng.integers(20, 60), left, left + rng.integers(8, 40), 0.9))
    before = blurred(seed) + RAMP
    mixed = [masks[i] for i in rng.permutation(4)]
    np.testing.assert_array_equal(stand_up(before, masks), stand_up(before, mixed))


def test_the_nearer_of_two_people_covers_the_other():
    far, near = board(20, 70, 60, 90), board(40, 110, 70, 100)
    upright = stand_up(RAMP, [near, far])
    np.testing.assert_allclose(upright[60, 72], upright[100, 95], atol=0.05)
    assert upright[60, 72] > upright[30, 65] + 1


def test_a_person_is_nearer_than_the_surroundings_whatever_the_network_says():
    inside = board(30, 90, 60, 80) > 0
    pit = np.where(inside, -1, 1).astype(np.float32)
    upright = stand_up(pit, [inside.astype(np.float32)])
    assert upright[inside].min() > 1


@pytest.mark.parametrize(("scale", "offset"), [(0.01, 0), (3, -7), (200, 50)])
def test_scale_and_offset_of_the_map_mean_nothing(scale, offset):
    masks = [board(30, 90, 60, 80, 0.8), board(20, 60, 20, 50)]
    before = blurred(2) + RAMP
    moved = stand_up((before * scale + offset).astype(np.float32), masks)
    expected = stand_up(before, masks) * scale + offset
    np.testing.assert_allclose(moved, expected, atol=1e-3 * scale)


@pytest.mark.parametrize("value", [0.0, 4.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (5, 5), (64, 48)])
def test_any_size_and_a_level_map_give_finite_values(shape, value):
    """Also where a mask is the whole picture and nothing surrounds it."""
    level, mask = np.full(shape, value, np.float32), np.ones(shape, np.float32)
    upright = stand_up(level, [mask])
    normals = round_off(np.tile(np.array([0, 0, 1], np.float32), (*shape, 1)), [mask])
    assert upright.dtype == normals.dtype == np.float32
    assert np.isfinite(upright).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1, atol=1e-4)


def test_outlines_turn_away_and_the_middle_faces_the_viewer():
    mask = board(30, 90, 60, 80)
    normals = round_off(FACING, [mask])
    assert normals[60, 61, 0] < -0.4
    assert normals[60, 78, 0] > 0.4
    assert normals[31, 70, 1] > 0.4
    assert normals[88, 70, 1] < -0.4
    assert normals[60, 70, 2] > 0.95
    np.testing.assert_array_equal(normals[mask == 0], FACING[mask == 0])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=2), 1, atol=1e-4)


def test_a_body_is_not_rounded_where_the_pictures_edge_cuts_it_off():
    normals = round_off(FACING, [board(60, 120, 60, 100)])
    assert normals[119, 80, 2] > 0.95
    assert normals[61, 80, 1] > 0.4
