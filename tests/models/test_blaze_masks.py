"""With the lite models' real weights, where they are at hand."""

import numpy as np
import pytest
from models.conftest import made
from models.odd import odd_boxes, odd_pictures

from humanverse.models.blaze.masks import BlazePoseSegmenter
from humanverse.models.owners import shares


@pytest.fixture(scope="module")
def segmenter():
    return made(BlazePoseSegmenter)


def test_a_portrait_covers_about_six_tenths_of_its_box(segmenter, detector, astronaut):
    (found,) = detector.detect([astronaut])
    box = found.boxes[:1]
    (owners,) = segmenter.segment([astronaut], [box])
    (area,) = shares(owners, 1) * owners.size
    covered = area / np.prod(box[0, 2:] - box[0, :2])
    assert 0.45 < covered < 0.75
    assert owners[300, 200] == 1, "her chest"
    assert owners[20, 20] == 0, "the flag behind her"


def test_of_two_men_nobody_has_the_others_pixels(segmenter, zidane):
    boxes = np.array([[740, 40, 1130, 715], [120, 195, 1110, 715]], np.float32)
    (owners,) = segmenter.segment([zidane], [boxes])
    first, second = shares(owners, 2)
    assert first > 0.1
    (swapped,) = segmenter.segment([zidane], [boxes[::-1]])
    together = (owners > 0).mean()
    assert first + second == pytest.approx(together, abs=1e-6)
    assert (swapped > 0).mean() == pytest.approx(together, abs=0.02)


def test_odd_boxes_of_noise_give_maps_of_the_images_size(segmenter):
    images = list(odd_pictures())[:3]
    boxes = [odd_boxes(*image.shape[:2]) for image in images]
    for image, owners in zip(images, segmenter.segment(images, boxes), strict=True):
        assert owners.shape == image.shape[:2]
        assert owners.max() <= 7, "a person outside the image"
    assert not segmenter.segment(images[:1], [boxes[0][:0]])[0].any()
