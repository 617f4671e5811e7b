"""Latents of all branches come to the picture's levels, and captions to numbers."""

import pytest
import torch

from humanverse.errors import UsageError
from humanverse.train.latents import Levels, measured
from humanverse.train.text import Bytes

CPU = torch.device("cpu")


def latents_of(count):
    generator = torch.Generator().manual_seed(count)
    noise = torch.randn((count, 3, 2, 4, 4), generator=generator)
    spread = torch.tensor([0.5, 3.0, 0.1])[None, :, None, None, None]
    return noise * spread + torch.tensor([1.0, -2.0, 5.0])[None, :, None, None, None]


def test_depth_and_normals_come_to_the_mean_and_spread_of_the_picture():
    batches = [latents_of(20), latents_of(30)]
    levels = measured(batches)
    whole = torch.cat(batches)
    scaled = levels.scaled(whole).transpose(0, 1).flatten(3)  # (M, B, C, n)
    for branch in scaled[1:]:
        assert torch.allclose(branch.mean((0, 2)), whole[:, 0].mean((0, 2, 3)), atol=1e-4)
        assert torch.allclose(branch.std((0, 2)), whole[:, 0].std((0, 2, 3)), rtol=1e-2)
    assert torch.allclose(levels.scaled(whole)[:, 0], whole[:, 0], atol=1e-5)


def test_levels_come_back_from_a_file_and_undo_what_they_did():
    levels = Levels.of_json(measured([latents_of(9)]).to_json())
    x = latents_of(3)
    assert torch.allclose(levels.unscaled(levels.scaled(x)), x, atol=1e-5)


def test_a_channel_that_never_changes_is_left_alone():
    levels = measured([torch.ones(2, 2, 1, 4, 4)])
    assert torch.isfinite(levels.scaled(torch.ones(2, 2, 1, 4, 4))).all()


def test_a_caption_is_its_bytes_and_is_cut_where_it_is_too_long():
    text, said = Bytes(8, 16)(["äb", "", "0123456789"], CPU)
    assert text[0].tolist() == [195, 164, 98, 256, 256, 256, 256, 256]
    assert text[2].tolist() == list(b"01234567")
    assert said.tolist() == [[True, False], [False, False], [True, True]]
    assert Bytes(8, 16).network(text).shape == (3, 2, 16)


@pytest.mark.parametrize("length", [0, 6, 1000])
def test_lengths_that_cannot_be_are_refused(length):
    with pytest.raises(UsageError, match="multiple of 4"):
        Bytes(length, 16)
