"""Labels from a picture to the shard: truth goes in, and comes out."""

from math import degrees
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from recipes.perfect import SEEDS, SIZE
from shared import HERE

import humanverse
from humanverse.annotate import Depth, Normals
from humanverse.codec import decode_depth, decode_normals, encode_depth, encode_jpeg
from humanverse.errors import UsageError
from humanverse.keypoints import FLIP
from humanverse.models.from_depth import normals_from_depth
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.stage import Resources, check_chain, fingerprints
from humanverse.testing.perfect import Known
from humanverse.testing.scenes import render

STEP = 1 / 127.5
TURNED = 0x0112
"""EXIF's orientation."""


@pytest.fixture(scope="module")
def known():
    return Known(SEEDS, SIZE)


def written(path, pixels, orientation=1, scale=1):
    """A picture as a file: enlarged, and lying as an orientation says that it lies."""
    picture = Image.fromarray(pixels)
    picture = picture.resize((picture.width * scale, picture.height * scale))
    undo = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    lying = picture if undo is None else picture.transpose(undo)
    exif = Image.Exif()
    exif[TURNED] = orientation
    lying.save(path, quality=95, exif=exif)


@pytest.fixture(scope="module")
def samples(known, tmp_path_factory):
    """What a whole build makes of plain, turned, enlarged and mirrored pictures of scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    for number, scene in enumerate(known.scenes):
        orientation = (1, 6, 3)[number % 3]
        written(folder / f"{number}.jpg", scene.image, orientation, scale=1 + number % 2 * 3)
    root = tmp_path_factory.mktemp("perfect") / "root"
    build(HERE / "recipes" / "perfect.py", [folder], root, settings=Settings("local"))
    with humanverse.open(root) as dataset:
        return {known.which(sample["image"]): sample for sample in dataset}


def test_every_scene_comes_out_upright_and_at_its_stored_size(samples, known):
    assert sorted(samples) == list(range(len(known.scenes)))
    assert {sample["image"].shape for sample in samples.values()} == {(240, 320, 3), (300, 400, 3)}


def test_depth_comes_out_to_half_a_step_of_its_codes(samples, known):
    for sample in samples.values():
        truth = known.truth(sample["image"], "depth")
        assert sample["depth_kind"] == "metric"
        assert sample["depth"].shape == sample["image"].shape[:2]
        assert np.abs(sample["depth"] - truth).max() <= 0.51 * sample["meta"]["depth"]["scale"]


def test_normals_come_out_to_a_step_of_their_codes(samples, known):
    for sample in samples.values():
        truth = known.truth(sample["image"], "normals")
        assert np.abs(sample["normals"] - truth).max() <= STEP
        assert np.allclose(np.linalg.norm(sample["normals"], axis=-1), 1, atol=1e-5)


def test_boxes_come_out_to_a_hundredth_of_a_pixel(samples, known):
    for sample in samples.values():
        found = np.array([person["box"] for person in sample["meta"]["people"]])
        assert np.abs(found - known.boxes(sample["image"])).max() <= 0.0051
        assert sample["meta"]["person_count"] == len(known.boxes(sample["image"])) > 0


def test_all_133_keypoints_of_everybody_come_out(samples, known):
    assert {len(sample["poses"]) for sample in samples.values()} == {1, 2}
    for sample in samples.values():
        truth = known.keypoints(sample["image"])
        assert sample["poses"].shape == truth.shape == (len(truth), 133, 3)
        assert np.abs(sample["poses"] - truth).max() < 1e-4


def test_a_mirrored_scene_has_left_and_right_swapped(samples):
    for number in range(0, len(samples), 2):
        straight, mirrored = samples[number], samples[number + 1]
        size = np.array([s["image"].shape[1::-1] for s in (straight, mirrored)])
        first, second = straight["poses"] / [*size[0], 1], mirrored["poses"] / [*size[1], 1]
        turned = second[:, FLIP] * [-1, 1, 1] + [1, 0, 0]
        # People of a scene may stand in another order.
        order = [np.abs(turned - one).sum(axis=(1, 2)).argmin() for one in first]
        assert sorted(order) == list(range(len(first)))
        seen = first[..., 2] > 0
        assert np.abs(turned[order] - first)[seen].max() < 1e-3


def test_a_mirrored_scene_has_mirrored_normals(samples):
    for number in range(0, len(samples), 2):
        straight, mirrored = samples[number], samples[number + 1]
        turned = mirrored["normals"][:, ::-1] * np.array([-1, 1, 1])
        rows = np.linspace(0, turned.shape[0] - 1, 50).astype(int)
        other = np.linspace(0, straight["normals"].shape[0] - 1, 50).astype(int)
        columns = np.linspace(0, turned.shape[1] - 1, 60).astype(int)
        others = np.linspace(0, straight["normals"].shape[1] - 1, 60).astype(int)
        first = turned[np.ix_(rows, columns)]
        second = straight["normals"][np.ix_(other, others)]
        # Sizes differ, so pixels along outlines fall on either side of them.
        assert ((first * second).sum(-1) > 0.99).mean() > 0.9


def test_normals_may_follow_from_metric_depth():
    scene = render(3, 160, 120, people=1)
    png, scale, offset = encode_depth(scene.depth)
    stage = Normals(model="from_depth", fov=degrees(scene.fov))
    stage.check()
    stage.open()
    batch = pa.table(
        {
            "key": ["0" * 32],
            "depth_png": [png],
            "depth_kind": ["metric"],
            "depth_scale": [scale],
            "depth_offset": [offset],
        }
    )
    (found,) = stage(batch)["normal_png"].to_pylist()
    expected = normals_from_depth(decode_depth(png, scale, offset), scene.fov)
    assert np.abs(decode_normals(found) - expected).max() <= STEP
    other = batch.set_column(2, "depth_kind", pa.array(["disparity"]))
    with pytest.raises(UsageError, match="needs metric depth"):
        stage(other)


def test_normals_from_depth_must_stand_behind_depth():
    given = ("image", "person_boxes")
    check_chain([Depth(), Normals(model="from_depth", fov=60)], given)
    with pytest.raises(UsageError, match="reads depth_png"):
        check_chain([Normals(model="from_depth", fov=60), Depth()], given)


@pytest.mark.parametrize(
    ("stage", "fields", "told"),
    [
        (Depth, {"weights": "some"}, "depth.weights is not for"),
        (Depth, {"kind": "metric"}, "depth.kind is not for"),
        (Depth, {"device": "cuda"}, "runs on the CPU"),
        (Depth, {"device": "gpu"}, "none of auto"),
        (Depth, {"model": "dpt"}, "needs a folder"),
        (Depth, {"model": "depth_anything", "weights": "gone"}, "has no config.json"),
        (Depth, {"model": "omnidata"}, "needs a file"),
        (Depth, {"model": "omnidata", "weights": "some", "kind": "metric"}, "depth.kind is not"),
        (Normals, {"weights": "some"}, "normals.weights is not for"),
        (Normals, {"fov": 60}, "normals.fov is not for"),
        (Normals, {"model": "from_depth"}, "needs normals.fov"),
        (Normals, {"model": "from_depth", "fov": 200}, "needs normals.fov"),
        (Normals, {"model": "from_depth", "fov": 60, "weights": "some"}, "weights is not for"),
        (Normals, {"model": "from_depth", "fov": 60, "device": "cuda"}, "runs on the CPU"),
        (Normals, {"model": "omnidata", "weights": "gone"}, "there is no file"),
        (Normals, {"model": "sapiens2"}, "needs a folder"),
        (Normals, {"model": "sapiens2", "weights": "gone"}, "has no config.json"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, stage, fields, told):
    (tmp_path / "some").write_bytes(b"")
    fields = {name: tmp_path / v if name == "weights" else v for name, v in fields.items()}
    with pytest.raises(UsageError, match=told) as refused:
        stage(**fields).check()
    assert "\n" not in str(refused.value)


def test_a_recipe_names_them_by_its_settings():
    said = ["depth.model=dpt", "depth.kind=disparity", "depth.weights=some", "depth.gpus=0.5"]
    said += ["normals.model=from_depth", "normals.fov=65"]
    depth, normals = load_recipe(HERE.parent / "pipelines" / "humanverse.py", said).annotate[1:3]
    assert (depth.model, depth.kind, depth.weights, depth.gpus) == (
        *("dpt", "disparity", Path("some")),
        0.5,
    )
    assert (normals.model, normals.fov) == ("from_depth", 65.0)


@pytest.mark.parametrize("stage", [Depth, Normals])
def test_where_it_runs_is_outside_its_fingerprint_and_what_it_looks_with_is_not(stage):
    assert stage().resources == Resources(cpus=1, gpus=0)
    assert stage(gpus=0.5).resources.gpus == 0.5
    assert fingerprints([stage(device="cuda", batch=64, gpus=1)]) == fingerprints([stage()])
    assert fingerprints([stage(precision="fp32")]) != fingerprints([stage()])


@pytest.mark.parametrize("stage", [Depth, Normals])
def test_the_lite_models_stay_the_default(stage):
    one = stage()
    one.check()
    one.open()
    image = render(5, 64, 48, people=0).image
    batch = pa.table(
        {
            "key": ["0" * 32],
            "image": [encode_jpeg(image, 90)],
            "person_boxes": pa.array([[]], pa.list_(pa.list_(pa.float32(), 4))),
        }
    )
    assert one(batch).column_names == ["key", *one.writes.names]
