"""What a step draws belongs to the sample."""

import torch
from small import SMALL, changed

from humanverse.train.draws import draw

KEYS = [f"{n:032x}" for n in range(300)]
LATENTS = torch.zeros(300, 3, 3, 2, 2)


def test_a_sample_draws_the_same_in_whichever_batch_it_is():
    whole = draw(KEYS, 7, LATENTS, SMALL)
    part = draw(KEYS[5:7], 7, LATENTS[5:7], SMALL)
    for name in ("noise", "uniform", "told"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[5:7])


def test_each_step_and_each_seed_draws_anew():
    first = draw(KEYS, 7, LATENTS, SMALL).noise
    assert not torch.equal(draw(KEYS, 8, LATENTS, SMALL).noise, first)
    assert not torch.equal(draw(KEYS, 7, LATENTS, changed(optim={"seed": 1})).noise, first)


def test_conditions_are_kept_back_each_on_its_own_as_often_as_asked():
    asked = {"drop_text": 0.5, "drop_size": 0.0, "drop_maps": 1.0}
    told = draw(KEYS, 1, LATENTS, changed(conditions=asked)).told.float()
    assert told.shape == (300, 3)
    assert 0.4 < told[:, 0].mean() < 0.6
    assert told[:, 1:].mean(0).tolist() == [1, 0]
    told = draw(KEYS, 1, LATENTS, changed(conditions=dict.fromkeys(asked, 0.5))).told.float()
    assert abs(torch.corrcoef(told.T) - torch.eye(3)).max() < 0.2


def test_branches_share_a_time_unless_asked_otherwise():
    shared = draw(KEYS, 1, LATENTS, SMALL).uniform
    assert (shared == shared[:, :1]).all()
    alone = draw(KEYS, 1, LATENTS, changed(method={"independent": 0.5})).uniform
    same = (alone == alone[:, :1]).all(1).float().mean()
    assert 0.4 < same < 0.6


def test_noises_of_branches_differ():
    noise = draw(KEYS, 1, LATENTS, SMALL).noise
    assert abs(torch.corrcoef(noise.transpose(0, 1).flatten(1)) - torch.eye(3)).max() < 0.1
