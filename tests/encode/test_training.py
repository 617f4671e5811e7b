"""A trainer on what was encoded learns what it would learn from encoding as it goes."""

import json
from dataclasses import replace

import pytest
from encode.conftest import SIZE

import humanverse

torch = pytest.importorskip("torch", reason="torch is not installed")

from humanverse.train import cached  # noqa: E402  # they need it
from humanverse.train.examples import Examples  # noqa: E402
from humanverse.train.loop import train  # noqa: E402
from humanverse.train.parts import made  # noqa: E402
from humanverse.train.settings import (  # noqa: E402
    Conditions,
    Data,
    Network,
    Optim,
    Run,
    Training,
)


@pytest.fixture(scope="module")
def training(folders):
    vae, text = folders
    return Training(
        name="encoded",
        data=Data(image_size=SIZE, crop="centre", workers=1),
        network=Network(width=32, heads=2, experts=1, trunk=1, patch=2, across=4.0),
        conditions=Conditions(autoencoder=str(vae), text=str(text)),
        optim=Optim(steps=3, batch_size=8, rate=1e-3, warmup=1, ema=0.9),
        run=Run(log_every=1, save_every=3, sample_every=3, samples=1, sample_steps=1),
    )


def losses(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [[line[name] for name in ("rgb", "depth", "normal")] for line in lines]


def preferred(training, root):
    parts = made(training)
    examples = Examples(training, parts.autoencoder, parts.text, torch.device("cpu"))
    with humanverse.open(root) as dataset:
        return cached.preferring(examples, dataset)


def test_losses_are_those_of_encoding_as_it_goes(training, plain, encoded, tmp_path, capfd):
    train(training, plain, tmp_path / "plain")
    train(training, encoded, tmp_path / "encoded")
    one, other = losses(tmp_path / "plain"), losses(tmp_path / "encoded")
    assert len(one) == 3
    assert torch.allclose(torch.tensor(one), torch.tensor(other), rtol=1e-4, atol=0)
    assert one != other  # latents and tokens of 16 bits were read
    assert "encoding as it goes" not in capfd.readouterr().err


def test_pictures_and_captions_are_not_read_where_latents_and_text_are_there(training, encoded):
    examples, why = preferred(training, encoded)
    assert (examples.cached, why) == ({"latents", "text"}, [])
    assert examples.columns() == ["text", "pose_map", "latents"]
    refiner = replace(
        training, network=replace(training.network, branches=("rgb",), maps=("pose", "depth"))
    )
    examples, _ = preferred(refiner, encoded)
    assert examples.columns() == ["text", "pose_map", "depth", "latents"]
    with humanverse.open(encoded, examples.columns()) as dataset:
        batch = next(iter(dataset.loader(4, image_size=SIZE, tensors="torch")))
        assert examples(batch).latents.shape == (4, 1, 4, SIZE // 4, SIZE // 4)
        assert cached.levels_of(examples, dataset).mean.shape == (1, 4)


@pytest.mark.parametrize(
    ("section", "fields", "told"),
    [
        ("data", {"crop": "random"}, "data.crop=random takes other parts"),
        ("data", {"image_size": 16}, "16 is wanted"),
        ("data", {"widest": 2.0}, "wants other shapes"),
        ("conditions", {"text_layer": "penultimate"}, "penultimate 12 is wanted"),
        ("conditions", {"text_length": 5}, "last 5 is wanted"),
    ],
)
def test_what_was_encoded_otherwise_is_not_read_and_why_is_told(
    training, encoded, section, fields, told
):
    changed = training.with_section(section, replace(training.sections()[section], **fields))
    examples, (why,) = preferred(changed, encoded)
    assert told in why
    assert examples.cached == {"latents", "text"} - {why.split()[0]}


def test_who_learns_pixels_and_bytes_is_told_nothing(training, encoded):
    examples, why = preferred(replace(training, conditions=Conditions()), encoded)
    assert (examples.cached, why) == (set(), [])
