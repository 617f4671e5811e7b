"""The network: what it begins with, what must not matter to it, and what must."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given as told
from hypothesis import strategies as st
from small import SMALL, awake, changed, given_of

from humanverse.train.blocks import angles, places, turned
from humanverse.train.embed import TIME_SCALE
from humanverse.train.model import StructuralDiT, patches, picture
from humanverse.train.parts import made

NETWORK = SMALL.network


def small(**fields):
    return made(changed(network=fields)).network


def noisy_of(count, branches=3, size=(16, 16)):
    generator = torch.Generator().manual_seed(5)
    data = torch.randn((count, branches, 3, *size), generator=generator)
    return data, torch.rand((count, branches), generator=generator)


def test_its_first_answer_is_nought():
    network = small()
    x, time = noisy_of(2)
    out = network(x, time, given_of(2))
    assert out.shape == x.shape
    assert (out == 0).all()


@pytest.mark.parametrize("size", [(16, 16), (24, 8), (40, 32)])
def test_pictures_of_any_size_go_through_with_maps_of_any_other(size):
    x, time = noisy_of(2, size=size)
    assert awake(small())(x, time, given_of(2)).shape == x.shape


@pytest.mark.parametrize("experts", [0, 1, 2])
def test_branches_may_have_no_blocks_of_their_own_or_several(experts):
    x, time = noisy_of(2)
    network = awake(small(experts=experts))
    network(x, time, given_of(2)).square().mean().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def plain_dit(network, x, time, conditions):
    """Patches, blocks over them and the caption's tokens, a head: nothing of branches."""
    (branch,) = network.branches.values()
    grid = tuple(side // branch.patch for side in x.shape[3:])
    heads = NETWORK.width // NETWORK.heads
    turns = angles(places(*grid, NETWORK.across), heads)
    words, whole = network.captions(network.text(conditions.text), conditions.said)
    condition = whole + network.size(conditions.size) + network.time(time * TIME_SCALE)
    tokens = branch.tokens(patches(x[:, 0], branch.patch))
    tokens = tokens + network.stems["pose"](conditions.maps[:, 0], conditions.told[:, 2], grid)
    tokens, turns = (
        torch.cat([tokens, words], 1),
        torch.cat([turns, turns.new_zeros(4, heads // 2)]),
    )
    for block in network.trunk:
        tokens = block(tokens, condition, turns)
    numbers = branch.head(tokens[:, : grid[0] * grid[1]], condition)
    return picture(numbers, grid, branch.patch)[:, None]


def test_one_branch_without_experts_is_the_plain_transformer():
    network = awake(small(branches=("rgb",), experts=0, trunk=3))
    x, time = noisy_of(2, branches=1)
    wanted = plain_dit(network, x, time, given_of(2))
    assert torch.allclose(network(x, time, given_of(2)), wanted, atol=1e-6)


@pytest.mark.parametrize("experts", [0, 1, 2])
def test_branches_with_the_same_weights_that_see_the_same_are_one_branch(experts):
    """Tied, and two of three masked by the first one's data: the network of that branch alone."""
    alone = awake(small(branches=("rgb",), experts=experts))
    tied = small(experts=experts)
    names = tied.state_dict()
    shared = alone.state_dict()
    own = {n: n.replace("branches.depth", "branches.rgb") for n in names}
    own = {n: m.replace("branches.normal", "branches.rgb") for n, m in own.items()}
    tied.load_state_dict({name: shared[own[name]] for name in names})
    x, time = noisy_of(2, branches=1)
    wanted = alone(x, time, given_of(2)).expand(-1, 3, -1, -1, -1)
    out = tied(x.expand(-1, 3, -1, -1, -1), time.expand(-1, 3), given_of(2))
    assert torch.allclose(out, wanted, atol=1e-5)


def test_gradients_reach_every_expert():
    network = awake(small(experts=2))
    x, time = noisy_of(2)
    network(x, time, given_of(2)).square().mean().backward()
    for name, branch in network.branches.items():
        for block in (*branch.first, *branch.joints, *branch.last):
            gradients = [w.grad.abs().sum() for n, w in block.named_parameters() if "norm" not in n]
            assert all(gradient > 0 for gradient in gradients), name


def test_neither_the_order_of_samples_nor_that_of_branches_matters():
    network = awake(small())
    other = small(branches=("rgb", "normal", "depth"))
    other.load_state_dict(network.state_dict())
    x, time = noisy_of(3)
    conditions = given_of(3)
    out = network(x, time, conditions)
    swapped = [0, 2, 1]
    assert torch.allclose(
        other(x[:, swapped], time[:, swapped], conditions), out[:, swapped], atol=1e-5
    )
    alone = replace(conditions, **{n: v[1:2] for n, v in vars(conditions).items()})
    assert torch.allclose(network(x[1:2], time[1:2], alone), out[1:2], atol=1e-5)


def test_each_branch_reads_the_others_and_has_its_own_answer():
    network = awake(small())
    x, time = noisy_of(1)
    out = network(x, time, given_of(1))
    other = x.clone()
    other[:, 1] += 1
    moved = (network(other, time, given_of(1)) - out).abs().amax((0, 2, 3, 4))
    assert (moved > 1e-4).all()
    assert not torch.allclose(out[:, 1], out[:, 2])


@pytest.mark.parametrize(("place", "field"), [(0, "text"), (0, "said"), (1, "size"), (2, "maps")])
def test_what_is_told_matters_and_what_is_not_told_does_not(place, field):
    network = awake(small())
    x, time = noisy_of(2)
    conditions = given_of(2)
    other = getattr(given_of(2, seed=9), field)
    if field == "said":
        other = torch.zeros_like(other)
    changes = {field: other}
    out = network(x, time, conditions)
    assert not torch.allclose(network(x, time, replace(conditions, **changes)), out, atol=1e-5)
    told = conditions.told.clone()
    told[:, place] = False
    silent = network(x, time, replace(conditions, told=told))
    assert torch.equal(network(x, time, replace(conditions, told=told, **changes)), silent)
    assert not torch.allclose(silent, out, atol=1e-5)


def test_what_stands_behind_the_end_of_a_caption_does_not_matter():
    network = awake(StructuralDiT(NETWORK, 3, 1, 16))
    x, time = noisy_of(2)
    text = torch.randn(2, 4, 16)
    said = torch.tensor([[True, True, False, False]] * 2)
    conditions = replace(given_of(2), text=text, said=said)
    out = network(x, time, conditions)
    text = torch.cat([text[:, :2], torch.randn(2, 2, 16)], dim=1)
    assert torch.equal(network(x, time, replace(conditions, text=text)), out)


def test_branches_may_be_at_times_of_their_own():
    network = awake(small())
    x, time = noisy_of(1)
    out = network(x, time, given_of(1))
    later = time.clone()
    later[:, 2] = 1 - later[:, 2]
    assert not torch.allclose(network(x, later, given_of(1)), out, atol=1e-5)


@told(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 4]))
def test_patches_put_together_are_the_picture(height, width, side):
    x = torch.randn(2, 3, height * side, width * side)
    numbers = patches(x, side)
    assert numbers.shape == (2, height * width, 3 * side * side)
    assert torch.equal(picture(numbers, (height, width), side), x)


@told(st.floats(-20, 20), st.floats(-20, 20))
def test_tokens_know_how_far_they_are_apart_and_not_where_they_are(down, across):
    q, k = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(0)).double()
    one, other = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[5.0, 1.0]]).double()
    moved = torch.tensor([[down, across]]).double()

    def product(shift):
        a, b = (angles(place + shift, 16) for place in (one, other))
        return (turned(q, a) * turned(k, b)).sum()

    # Turned in fp32, as in training.
    assert product(moved) == pytest.approx(product(0 * moved).item(), abs=1e-3)


def test_a_larger_picture_is_the_same_one_seen_finer():
    coarse, fine = places(2, 4, 8.0), places(4, 8, 8.0)
    assert fine.reshape(2, 2, 4, 2, 2).mean(dim=(1, 3)).reshape(-1, 2).tolist() == coarse.tolist()
    assert places(2, 4, 8.0).max() < 8
