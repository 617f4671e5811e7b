import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.errors import UsageError
from humanverse.models.yolox import YoloxDetector, decode, grid, letterbox, suppressed


def test_the_grid_has_a_cell_for_every_row_of_the_network():
    cells = grid((416, 416))
    assert len(cells) == 52**2 + 26**2 + 13**2
    assert cells[1].tolist() == [1, 0, 8]
    assert cells[-1].tolist() == [12, 12, 32]


def test_a_planted_person_is_decoded():
    cells = grid((64, 96))
    raw = np.zeros((len(cells), 85), np.float32)
    row = int(np.flatnonzero((cells == (3, 2, 16)).all(axis=1))[0])
    raw[row, :6] = [0.5, 0.25, np.log(2), np.log(1), 0.8, 0.5]
    boxes, scores = decode(raw, cells)
    assert scores[row] == pytest.approx(0.4)
    assert boxes[row] == pytest.approx((56 - 16, 36 - 8, 56 + 16, 36 + 8))
    assert scores.sum() == pytest.approx(0.4), "no other row is a person"


def test_the_image_lies_in_the_top_left_of_a_grey_picture():
    image = np.full((100, 200, 3), 7, np.uint8)
    picture, scale = letterbox(image, (416, 416))
    assert scale == pytest.approx(2.08)
    assert (picture[:208] == 7).all()
    assert (picture[208:] == 114).all()


def test_suppression_keeps_the_better_of_two_and_what_lies_apart():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.5, 0.9, 0.4], np.float32)
    assert suppressed(boxes, scores, 0.45).tolist() == [1, 2]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 15))
def test_no_kept_box_overlaps_another_too_much(seed, count):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 40, (count, 2))], axis=1)
    kept = suppressed(boxes.astype(np.float32), rng.random(count).astype(np.float32), 0.45)
    assert suppressed(boxes[kept], np.arange(len(kept), 0, -1), 0.45).tolist() == list(
        range(len(kept))
    )
    assert not count or len(kept) > 0


@pytest.mark.real
def test_real_weights_find_the_two_men(real, zidane):
    detector = YoloxDetector(real / "weights" / "yolox_nano.onnx")
    found, nobody = detector.detect([zidane, np.zeros((50, 80, 3), np.uint8)])
    assert (found.scores > 0.5).sum() == 2
    assert nobody.boxes.shape == (0, 4)
    assert (found.boxes[:, 2:] <= (1280, 720)).all()


def test_a_file_that_is_no_export_is_refused(tmp_path):
    (tmp_path / "junk.onnx").write_text("junk")
    with pytest.raises(UsageError, match="cannot be read as ONNX"):
        YoloxDetector(tmp_path / "junk.onnx")
