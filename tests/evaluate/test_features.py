"""Extractors: against torchmetrics' own Inception, and what they refuse."""

import io

import numpy as np
import pytest
from models.small_clip import WIDTH, clip_folder

from humanverse.errors import UsageError
from humanverse.evaluate.distances import kid, unit
from humanverse.evaluate.features import (
    Clip,
    check_clip,
    check_inception,
    inception,
    random_features,
)
from humanverse.models.torched import How

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")

CPU = How(device="cpu", batch=3)


def pictures(count, seed, side=48):
    """Colours that change smoothly."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return list(coarse.repeat(side // 6, 1).repeat(side // 6, 2))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as the reference's, of seeded random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untaught(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_, **__):
            pass

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    network = Untaught("random", ["2048"], nothing)
    for module in network.modules():  # torch's own start lets features fade to nothing
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_kid_by_inception_is_torchmetrics_where_it_resizes_as_the_original(weights):
    from torchmetrics.image.fid import NoTrainInceptionV3
    from torchmetrics.image.kid import KernelInceptionDistance

    theirs = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights), antialias=False)
    one, other = pictures(5, 1), pictures(5, 2)
    metric = KernelInceptionDistance(theirs, subsets=1, subset_size=5, normalize=False)
    for images, real in ((one, True), (other, False)):
        metric.update(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), real=real)
    extractor = inception(weights, CPU, begins="")
    real, made = extractor(one), extractor(other)
    assert real.shape == (5, 2048)
    assert np.abs(real - metric.real_features[0].numpy()).max() < 1e-3 * np.abs(real).max()
    assert kid(real, made).mean == pytest.approx(metric.compute()[0].item(), rel=1e-3)
    assert extractor.identity == check_inception(weights, begins="")


def test_another_file_than_the_references_is_refused(weights, tmp_path):
    with pytest.raises(UsageError, match=r"reference's begins with 6726825d.*torch-fidelity"):
        inception(weights, CPU)
    with pytest.raises(UsageError, match=r"--inception FILE is wanted: weights-inception-2015"):
        inception(None, CPU)
    with pytest.raises(UsageError, match="there is no file"):
        inception(tmp_path / "none.pth", CPU)


class Code:
    """What would run, were it unpickled."""

    ran = False

    def __reduce__(self):
        return setattr, (Code, "ran", True)


def test_a_file_that_holds_code_is_not_run(tmp_path):
    path = tmp_path / "code.pth"
    torch.save({"code": Code()}, path)
    with pytest.raises(UsageError, match="holds more than arrays"):
        inception(path, CPU, begins="")
    assert not Code.ran


def test_a_file_of_other_arrays_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UsageError, match="does not hold Inception's weights"):
        inception(path, CPU, begins="")


def test_clip_gives_embeddings_of_their_own_length(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder, images = clip_folder(tmp_path / "clip"), pictures(5, 3)
    clip = Clip(folder, CPU)
    found = clip(images)
    assert found.shape == (5, WIDTH) == (5, clip.width)
    model = transformers.CLIPVisionModelWithProjection.from_pretrained(
        folder, local_files_only=True
    )
    processor = transformers.CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    with torch.no_grad():
        theirs = model(**processor(images, return_tensors="pt")).image_embeds.numpy()
    assert np.abs(found - theirs).max() < 1e-3 * np.abs(theirs).max()
    assert np.allclose(clip._images.embed(images), unit(found), atol=1e-6)
    texts = clip.texts(["a person", "two people who are very far away from here"])
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)


def test_a_clip_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--clip FOLDER is wanted"):
        check_clip(None)
    with pytest.raises(UsageError, match="no folder with a model"):
        check_clip(tmp_path)


def test_random_features_are_the_same_each_time_whatever_the_batch():
    images = pictures(5, 4)
    one, other = random_features(CPU)(images), random_features(How("cpu", batch=5))(images)
    assert one.shape == (5, 128)
    assert np.allclose(one, other, rtol=1e-4, atol=1e-5)
    assert np.abs(one[0] - one[1]).max() > 1e-2
