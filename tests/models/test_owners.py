import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from humanverse.models.owners import laid_over, shares

SHAPE = (7, 9)
mask_lists = st.lists(arrays(bool, SHAPE), max_size=5)


@given(mask_lists)
def test_every_pixel_is_the_first_mask_that_has_it(masks):
    owners = laid_over(SHAPE, masks)
    for place in np.ndindex(SHAPE):
        having = [number for number, mask in enumerate(masks, 1) if mask[place]]
        assert owners[place] == (having[0] if having else 0)


@given(mask_lists, st.integers(0, 5))
def test_the_areas_of_the_first_ones_add_up_to_their_union(masks, count):
    areas = shares(laid_over(SHAPE, masks), len(masks))
    assert areas.shape == (len(masks),)
    union = np.any([np.zeros(SHAPE, bool), *masks[:count]], axis=0).mean()
    assert areas[:count].sum() == pytest.approx(union, abs=1e-6)


def test_people_without_pixels_have_no_area():
    assert shares(laid_over(SHAPE, [np.zeros(SHAPE, bool)] * 3), 3).tolist() == [0, 0, 0]
    assert shares(np.zeros(SHAPE, np.uint16), 0).tolist() == []
