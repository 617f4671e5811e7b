"""What is learned of noise, and that the way back ends where the data are."""

import pytest
import torch
from hypothesis import given as told
from hypothesis import strategies as st
from small import given_of
from torch import Tensor

from humanverse.train.flow import Diffusion, Flow, guided, loss, predicted, sample, wide

MEAN, STD = 1.5, 0.4
METHODS = [Flow(), Diffusion()]
GIVEN = given_of(1)


def parts(method, time):
    """Signal and noise that data keep at a time."""
    one, nothing = torch.ones(1, 1, 1, 1, 1), torch.zeros(1, 1, 1, 1, 1)
    return method.noisy(one, nothing, time), method.noisy(nothing, one, time)


def knows(method) -> object:
    """The velocity of data that are normal with MEAN and STD, reckoned by hand."""

    def model(noisy: Tensor, time: Tensor, _given: object) -> Tensor:
        signal, spread = parts(method, time)
        variance = (signal * STD) ** 2 + spread**2
        away = (noisy - signal * MEAN) / variance
        clean, noise = MEAN + signal * STD**2 * away, spread * away
        if method.predicts == "picture":
            return clean
        return method.target(clean, noise, time)

    return model


@pytest.mark.parametrize(
    ("method", "heun", "steps"),
    [(Flow(), False, 80), (Flow(), True, 12), (Diffusion(), False, 500)],
)
def test_samples_of_a_known_velocity_are_spread_as_the_data_are(method, heun, steps):
    noise = torch.randn((4000, 1, 1, 1, 1), generator=torch.Generator().manual_seed(0))
    out = sample(knows(method), method, noise, GIVEN, steps, heun)
    assert out.mean() == pytest.approx(MEAN, abs=0.02)
    assert out.std() == pytest.approx(STD, rel=0.04)


def test_heun_goes_further_in_as_many_steps_than_euler():
    noise = torch.randn((4000, 1, 1, 1, 1), generator=torch.Generator().manual_seed(0))
    exact = MEAN + STD * noise  # the flow of one normal number into another keeps their order
    wrong = [
        (sample(knows(Flow()), Flow(), noise, GIVEN, 8, heun) - exact).abs().mean()
        for heun in (False, True)
    ]
    assert wrong[1] < wrong[0] / 3


def test_the_last_level_of_diffusion_is_noise_alone_and_the_first_data_alone():
    kept = Diffusion().kept()
    assert kept[-1] == 0
    assert kept[0] == 1
    assert (kept.diff() < 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_path_begins_at_the_data_and_ends_in_the_noise(method):
    clean, noise = torch.randn(2, 3, 2, 3, 4, 4)
    nought = torch.zeros(3, 2)
    assert torch.allclose(method.noisy(clean, noise, nought), clean)
    assert torch.allclose(method.noisy(clean, noise, nought + 1), noise, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_one_step_with_the_true_velocity_leads_back_to_the_data(method):
    clean, noise = torch.randn(2, 3, 2, 3, 4, 4)
    time = torch.full((3, 2), 0.75)
    noisy = method.noisy(clean, noise, time)
    velocity = method.target(clean, noise, time)
    back = method.step(noisy, velocity, time, torch.zeros(3, 2))
    assert torch.allclose(back, clean, atol=1e-4)


@pytest.mark.parametrize("method", [Flow("picture"), Diffusion("picture")])
def test_a_picture_that_is_predicted_rightly_is_the_true_velocity(method):
    clean, noise = torch.randn(2, 3, 2, 3, 4, 4)
    time = torch.full((3, 2), 0.5)
    noisy = method.noisy(clean, noise, time)
    velocity = predicted(lambda *_: clean, method, noisy, time, GIVEN)
    assert torch.allclose(velocity, method.target(clean, noise, time), atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_nought_for_the_truth_and_one_number_a_sample_and_branch(method):
    clean, noise = torch.randn(2, 3, 2, 3, 4, 4)
    time = torch.rand(3, 2)
    truth = method.target(clean, noise, time)
    assert loss(lambda *_: truth, method, clean, noise, time, GIVEN).abs().max() < 1e-10
    wrong = loss(lambda *_: truth + wide(time), method, clean, noise, time, GIVEN)
    assert torch.allclose(wrong, time.square(), atol=1e-5)


def test_the_order_of_samples_does_not_matter_to_their_losses():
    clean, noise = torch.randn(2, 5, 2, 3, 4, 4)
    time, order = torch.rand(5, 2), torch.randperm(5)

    def model(noisy, _time, _given):
        return noisy.tanh()

    whole = loss(model, Flow(), clean, noise, time, GIVEN)
    mixed = loss(model, Flow(), clean[order], noise[order], time[order], GIVEN)
    assert torch.equal(whole[order], mixed)


def test_guidance_of_one_is_the_model_and_more_goes_beyond_it():
    def model(noisy, _time, given):
        return noisy + given.told[:, :1, None, None, None].float()

    assert guided(model, 1) is model
    noisy, time = torch.zeros(2, 1, 1, 1, 1), torch.zeros(2, 1)
    assert guided(model, 3.0)(noisy, time, given_of(2)).flatten().tolist() == [3, 3]
    assert guided(model, 0.0)(noisy, time, given_of(2)).flatten().tolist() == [0, 0]


@told(st.floats(0.0, 1.0, exclude_max=True, width=32), st.floats(-2, 2), st.floats(0.3, 2))
def test_times_lie_between_data_and_noise(number, mean, std):
    uniform = torch.tensor([[number]])
    for method in (Flow(mean=mean, std=std), Diffusion()):
        assert 0 < method.times(uniform) <= 1


def test_half_of_the_times_of_a_flow_lie_beyond_its_mean():
    assert Flow(mean=0.8).times(torch.tensor(0.5)) == pytest.approx(0.69, abs=0.001)


@told(st.integers(1, 60), st.floats(0.5, 6))
def test_samples_are_made_from_noise_to_data_without_turning_round(steps, shift):
    for method in (Flow(shift=shift), Diffusion()):
        schedule = method.schedule(steps)
        assert schedule[0] == 1
        assert schedule[-1] == 0
        assert (schedule.diff() < 0).all()
