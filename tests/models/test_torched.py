import numpy as np
import pytest

from humanverse.errors import UsageError
from humanverse.models.torched import TOLERANCE, Engine, How, device_of, normalised, stacked

torch = pytest.importorskip("torch", reason="torch is not installed")


class Narrow(torch.nn.Module):
    """A network whose device holds only so many inputs."""

    def __init__(self, room):
        super().__init__()
        self.room = room
        self.seen = []
        self.layer = torch.nn.Linear(5, 3)

    def forward(self, inputs):
        self.seen.append(len(inputs))
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("no room")
        return self.layer(inputs)


def engine_of(room, batch=16):
    torch.manual_seed(0)
    return Engine(Narrow(room), How(device="cpu", batch=batch))


def run(engine, items):
    return engine.in_batches(items, lambda chunk: (engine(engine.upload(np.stack(chunk))),))


def numbers(count):
    return list(np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32))


@pytest.mark.parametrize("room", [1, 2, 3, 5, 16])
def test_a_full_memory_halves_the_batch_and_loses_nothing(room):
    items = numbers(23)
    expected = [row for (row,) in run(engine_of(64, batch=64), items)]
    found = [row for (row,) in run(engine_of(room), items)]
    assert np.allclose(found, expected, rtol=TOLERANCE)
    assert len(found) == 23


def test_what_fitted_is_remembered():
    engine = engine_of(5)
    run(engine, numbers(16))
    tries = len(engine._network.seen)
    run(engine, numbers(16))
    assert engine._network.seen[:3] == [16, 8, 4]
    assert engine._network.seen[tries:] == [4] * 4


def test_one_input_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        run(engine_of(0), numbers(4))


def test_nothing_in_gives_nothing_out():
    assert run(engine_of(4), []) == []


def test_a_step_may_give_rows_of_different_shapes():
    engine = engine_of(2, batch=3)

    def step(chunk):
        engine(engine.upload(np.zeros((len(chunk), 5), np.float32)))
        return ([torch.full((length,), length) for length in chunk],)

    found = [row for (row,) in engine.in_batches([4, 1, 3, 2, 5], step)]
    assert [row.tolist() for row in found] == [[n] * n for n in (4, 1, 3, 2, 5)]


def test_results_do_not_depend_on_the_neighbours_in_a_batch():
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.SiLU(), torch.nn.Conv2d(16, 8, 3)
    )
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (12, 33, 47, 3), dtype=np.uint8))
    found = []
    for batch in (1, 5, 12):
        engine = Engine(network, How(device="cpu", batch=batch))

        def step(chunk, engine=engine):
            return (engine(normalised(engine.upload(stacked(chunk)), [128] * 3, [60] * 3)),)

        found.append(np.stack([row for (row,) in engine.in_batches(pictures, step)]))
    for other in found[1:]:
        assert np.abs(other - found[0]).max() <= TOLERANCE * np.abs(found[0]).max()


def test_channels_last_and_bf16_give_nearly_the_same():
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU())
    inputs = torch.randn(2, 3, 20, 20)
    with torch.inference_mode():
        exact = Engine(network, How(device="cpu"))(inputs)
        inner = Engine(network, How(device="cpu", channels_last=True))(inputs)
        short = Engine(network, How(device="cpu", precision="bf16"))(inputs)
    assert torch.allclose(exact, inner, atol=1e-5)
    assert short.dtype == torch.bfloat16
    assert torch.allclose(exact, short.float(), atol=0.05)


def test_pixels_are_normalised_on_the_device():
    pixels = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    values = normalised(pixels, [0, 28, 55], [1, 10, 100])
    assert values.shape == (1, 3, 1, 1)
    assert values.flatten().tolist() == [0, 10, 2]


def test_a_mean_between_two_levels_is_not_rounded():
    pixels = torch.full((1, 1, 1, 3), 124, dtype=torch.uint8)
    values = normalised(pixels, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    expected = [(124 - 123.675) / 58.395, (124 - 116.28) / 57.12, (124 - 103.53) / 57.375]
    assert values.flatten().tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"device": "gpu"}, {"device": "cuda:x"}, {"precision": "fp8"}]
)
def test_what_no_network_can_be_run_with_is_refused(wrong):
    with pytest.raises(UsageError):
        How(**wrong)


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(UsageError, match="this machine has"):
        device_of(How(device="cuda:99"))
