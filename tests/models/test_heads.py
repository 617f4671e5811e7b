"""Heads on CLIP against torch's own layers in the layouts in which they are published."""

import numpy as np
import pytest
from safetensors.numpy import save_file as save_arrays

from humanverse.errors import UsageError
from humanverse.models import heads
from humanverse.models.heads import aesthetic_head, nsfw_head
from humanverse.models.store import find, is_listed

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn


def chain(width, *parts):
    """Linear layers of these widths, with other layers where they are no number."""
    torch.manual_seed(0)
    layers = []
    for part in parts:
        if isinstance(part, int):
            layers.append(nn.Linear(width, part))
            width = part
        else:
            layers.append(part)
    return nn.Sequential(*layers).eval()


def v2(width=24):
    drop = nn.Dropout(0.2)
    return chain(width, 32, drop, 16, drop, 8, drop, 4, 1)


def h14(width=24):
    two = (nn.ReLU(), nn.Dropout(0.2))
    return chain(width, 16, *two, 32, *two, 16, *two, 8, *two, 8, *two, 4, 1)


def saved(path, state, prefix=""):
    named = {f"{prefix}{name}": value.detach().clone() for name, value in state.items()}
    torch.save(named, path)
    return path


def embeddings(width=24, count=7):
    found = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def by_torch(network, given):
    with torch.no_grad():
        return network(torch.from_numpy(given))[:, 0].numpy()


def test_the_first_aesthetic_head_is_one_linear_layer(tmp_path):
    network = chain(24, 1)
    head = aesthetic_head(saved(tmp_path / "v1.pth", network[0].state_dict()))
    assert head.width == 24
    assert np.allclose(head(embeddings()), by_torch(network, embeddings()), atol=1e-6)


def test_the_second_is_five_without_activations(tmp_path):
    network = v2()
    head = aesthetic_head(saved(tmp_path / "v2.pth", network.state_dict(), "layers."))
    assert np.allclose(head(embeddings()), by_torch(network, embeddings()), atol=1e-6)


@pytest.mark.parametrize("layers", [(32, 1), (24, 8, 1)])
def test_laions_nsfw_heads_are_normalised_and_end_in_a_probability(tmp_path, layers):
    parts = [part for width in layers for part in (width, nn.ReLU())]
    network = chain(24, *parts[:-1], nn.Sigmoid())
    rng = np.random.default_rng(1)
    mean, variance = rng.normal(size=24), rng.uniform(0.5, 2, 24)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    state = {"norm.mean": torch.tensor(mean), "norm.variance": torch.tensor(variance)}
    for at, layer in enumerate(linear, 1):
        state |= {f"linear_{at}.{name}": value for name, value in layer.state_dict().items()}
    found = nsfw_head(saved(tmp_path / "nsfw.pth", state))(embeddings())
    given = ((embeddings() - mean) / np.sqrt(variance)).astype(np.float32)
    assert np.allclose(found, by_torch(network, given), atol=1e-5)
    assert 0 < found.min() < found.max() < 1


def test_datacomps_nsfw_head_has_a_batch_norm(tmp_path):
    torch.manual_seed(3)
    norm = nn.BatchNorm1d(24, eps=0.0)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    network = chain(24, norm, 16, nn.ReLU(), 8, nn.ReLU(), 1, nn.Sigmoid())
    layers = zip(("norm", "dense", "", "dense1", "", "dense2", ""), network, strict=True)
    state = {f"{n}.{k}": v for n, layer in layers for k, v in layer.state_dict().items()}
    found = nsfw_head(saved(tmp_path / "nsfw.pt", state))(embeddings())
    assert np.allclose(found, by_torch(network, embeddings()), atol=1e-5)


def test_the_head_for_h14_has_no_activation_before_its_last_layer(tmp_path):
    network = h14()
    with torch.no_grad():
        network[-1].bias.fill_(0.5)
    head = nsfw_head(saved(tmp_path / "h14.pth", network.state_dict(), "layers."))
    expected = by_torch(network, embeddings())
    assert np.allclose(head(embeddings()), np.clip(expected, 0, 1), atol=1e-6)


def test_safetensors_are_taken_and_scores_do_not_depend_on_neighbours(tmp_path):
    state = {f"layers.{k}": v.numpy() for k, v in v2().state_dict().items()}
    save_arrays(state, tmp_path / "v2.safetensors")
    head, given = aesthetic_head(tmp_path / "v2.safetensors"), embeddings(count=20)
    alone = np.concatenate([head(one[None]) for one in given])
    assert np.abs(head(given) - alone).max() < 1e-5
    assert head(given[:0]).shape == (0,)


def test_what_is_no_head_that_is_known_is_refused(tmp_path):
    relu = chain(24, 32, nn.ReLU(), nn.Dropout(), 16, nn.ReLU(), nn.Dropout(), 1)
    file = saved(tmp_path / "relu.pth", relu.state_dict(), "layers.")
    for opened in (aesthetic_head, nsfw_head):
        with pytest.raises(UsageError, match="is no"):
            opened(file)
    with pytest.raises(UsageError, match="is no NSFW head"):
        nsfw_head(saved(tmp_path / "v2.pth", v2().state_dict(), "layers."))
    two = saved(tmp_path / "two.pth", chain(24, 2)[0].state_dict())
    with pytest.raises(UsageError, match="no chain to one number"):
        aesthetic_head(two)
    torch.save({"weight": print}, tmp_path / "code.pth")
    with pytest.raises(UsageError, match="holds more than arrays"):
        aesthetic_head(tmp_path / "code.pth")
    with pytest.raises(UsageError, match="there is no file"):
        aesthetic_head(tmp_path / "gone.pth")


REAL = {
    "sa_0_4_vit_l_14_linear.pth": "aesthetic/v1_l14",
    "sa_0_4_vit_b_32_linear.pth": "aesthetic/v1_b32",
    "sac+logos+ava1-l14-linearMSE.pth": "aesthetic/v2_l14",
}


@pytest.mark.real
@pytest.mark.parametrize("file", REAL)
def test_the_listed_heads_are_the_published_ones(real, file):
    path = real / "weights" / file
    assert is_listed(path)
    assert find(REAL[file]).bytes == path.stat().st_size
    assert aesthetic_head(path).width == (512 if "b_32" in file else 768)


@pytest.mark.real
@pytest.mark.parametrize("file", [name for name in REAL if "b_32" not in name])
def test_scores_rise_with_the_rating(real, file):
    folder = real / "weights" / "rating_embeddings_vit_l_14"
    rated = np.concatenate([np.load(folder / f"rating{n}.npy") for n in range(10)])
    scores = aesthetic_head(real / "weights" / file)(rated)
    assert (np.diff(scores) > 0.1).all()


def test_layers_lie_where_the_published_networks_have_them():
    linear = lambda network: [n for n, x in network.named_children() if isinstance(x, nn.Linear)]  # noqa: E731
    assert tuple(linear(v2())) == heads.V2_LAYERS
    assert tuple(linear(h14())) == heads.H14_LAYERS
