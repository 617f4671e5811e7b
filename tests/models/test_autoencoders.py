"""Latents are those of the library's own call, and pictures come back from them."""

import json

import cv2
import numpy as np
import pytest

from humanverse.errors import UsageError
from humanverse.load.view import largest
from humanverse.models import store

torch = pytest.importorskip("torch", reason="torch is not installed")
diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

from models.small_encoders import kl_folder, tiny_folder  # noqa: E402  # it needs both

from humanverse.models.autoencoders import identity, opened  # noqa: E402
from humanverse.models.taef2 import Taef2, filled  # noqa: E402


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("autoencoders")
    return {
        "sd": kl_folder(base / "sd"),
        "sdxl": kl_folder(base / "sdxl", scaling_factor=0.13025, force_upcast=True),
        "flux": kl_folder(
            base / "flux",
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        "tiny": tiny_folder(base / "tiny"),
    }


def pixels(count=2, side=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, 3, side, side), generator=generator) * 2 - 1


FACTORS = {"sd": (0.18215, 0.0), "sdxl": (0.13025, 0.0), "flux": (0.3611, 0.1159)}


@pytest.mark.parametrize("name", FACTORS)
@torch.no_grad()
def test_a_kls_latents_are_the_mean_of_its_posterior_less_a_shift_times_a_factor(folders, name):
    theirs = diffusers.AutoencoderKL.from_pretrained(folders[name]).eval()
    ours, shown, (factor, shift) = opened(str(folders[name])), pixels(), FACTORS[name]
    latents = ours.encode(shown)
    assert torch.equal(latents, (theirs.encode(shown).latent_dist.mean - shift) * factor)
    assert latents.shape == (2, ours.channels, 24 // ours.stride, 24 // ours.stride)
    assert torch.equal(ours.decode(latents), theirs.decode(latents / factor + shift).sample)


@torch.no_grad()
def test_a_tiny_ones_latents_are_those_of_the_library(folders):
    theirs = diffusers.AutoencoderTiny.from_pretrained(folders["tiny"]).eval()
    ours, shown = opened(str(folders["tiny"])), pixels()
    latents = ours.encode(shown)
    assert torch.equal(latents, theirs.encode(shown).latents)
    assert torch.equal(ours.decode(latents), theirs.decode(latents).sample)
    assert (ours.channels, ours.stride) == (4, 4)


def test_who_made_latents_is_told_by_the_weights(folders):
    assert len({identity(str(folder)) for folder in folders.values()}) == len(folders)
    assert opened(str(folders["sd"])).identity == identity(str(folders["sd"]))


def test_it_is_frozen(folders):
    assert not any(p.requires_grad for p in opened(str(folders["sd"])).coder.parameters())


def test_what_is_no_autoencoder_is_refused(folders, tmp_path):
    with pytest.raises(UsageError, match="choose of taef2, or give a folder"):
        opened(str(tmp_path))
    config = folders["sd"] / "config.json"
    (tmp_path / "config.json").write_text(config.read_text())
    with pytest.raises(UsageError, match="pickled weights are not opened"):
        opened(str(tmp_path))
    told = json.loads(config.read_text()) | {"_class_name": "VQModel"}
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match="holds a VQModel"):
        opened(str(tmp_path))


def test_weights_of_another_network_are_refused(folders, tmp_path):
    told = json.loads((folders["sd"] / "config.json").read_text()) | {"layers_per_block": 2}
    (tmp_path / "config.json").write_text(json.dumps(told))
    file = "diffusion_pytorch_model.safetensors"
    (tmp_path / file).write_bytes((folders["sd"] / file).read_bytes())
    with pytest.raises(UsageError, match=r"would be random|cannot be loaded"):
        opened(str(tmp_path))
    with pytest.raises(UsageError, match="no weights of TAEF2"):
        filled({}, {})


@torch.no_grad()
def test_taef2_keeps_an_eighth_of_the_side_and_comes_back_to_it():
    network = Taef2().eval()
    latents = network.encode(pixels(1, 16))
    assert latents.shape == (1, 32, 2, 2)
    assert network.decode(latents).shape == (1, 3, 16, 16)
    assert torch.isfinite(network.decode(latents * 1e4)).all()


@pytest.mark.real
@torch.no_grad()
def test_a_real_photo_comes_back_from_its_latents(real, tmp_path, monkeypatch):
    """TAEF2's own weights, from the store; the largest square of a photo, as it is encoded."""
    monkeypatch.setenv("HUMANVERSE_CACHE", str(tmp_path))
    for name in ("encoder", "decoder"):
        path = store.find(f"taef2/{name}").path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((real / "weights" / path.name).read_bytes())
    store.weight_path.cache_clear()
    ours = opened("taef2")
    store.weight_path.cache_clear()
    for photo in ("000000535506", "000000463557", "000000069468"):
        file = real / "photos" / "coco_mini" / f"{photo}.jpg"
        image = cv2.imread(str(file))[..., ::-1]
        square = largest(image.shape[:2], (384, 384)).pixels(image).astype(np.float32)
        given = torch.from_numpy(square).movedim(-1, 0)[None] / 127.5 - 1
        latents = ours.encode(given)
        assert 0.5 < latents.std() < 1.5
        back = ours.decode(latents).clamp(-1, 1)
        error = ((back - given) * 127.5).square().mean()
        assert 10 * torch.log10(255**2 / error) > 28, photo
