"""The evaluation set that is made of COCO's files shows whom they tell of, where they say."""

import json
from pathlib import Path

import numpy as np
import pytest

import humanverse
from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.filter.annotated import Annotated
from humanverse.keys import bytes_key
from humanverse.recipe import load_recipe
from humanverse.testing.packed import encoded, pack_scenes
from humanverse.testing.scenes import render

PIPELINES = Path(__file__).parents[2] / "pipelines"
SIZES = ((320, 240), (240, 320), (256, 256))


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def scenes():
    """Wide, tall and square ones of nobody to four people."""
    return [render(seed, *SIZES[seed % 3], people=seed % 5) for seed in range(20, 32)]


@pytest.fixture(scope="module")
def folder(scenes, tmp_path_factory):
    """They in COCO-WholeBody's format, as our own export writes it."""
    place = tmp_path_factory.mktemp("coco")
    pack_scenes(place / "packed", [encoded(scene) for scene in scenes])
    assert run("export", place / "packed", "--as", "coco-wholebody", "--to", place / "coco") == 0
    return place / "coco"


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("built") / "root"
    file = folder / "annotations" / "coco_wholebody.json"
    told = ("--set", f"truth.annotations={file}", "--runner", "local")
    assert run("build", "coco_humans", "--input", file, "--out", root, *told) == 0
    return root


def by_key(folder, scenes):
    """Scenes by the keys that their pictures have as images at hand."""
    images = json.loads((folder / "annotations" / "coco_wholebody.json").read_text())["images"]
    ordered = sorted(images, key=lambda image: image["key"])
    data = [(folder / "images" / image["file_name"]).read_bytes() for image in ordered]
    return {bytes_key(jpeg): scene for jpeg, scene in zip(data, scenes, strict=True)}


def cut(scene):
    """Boxes and keypoints of a scene in the square in its middle, at 512 pixels."""
    height, width = scene.depth.shape
    side = min(height, width)
    shift = np.array([(width - side) // 2, (height - side) // 2])
    corners = (scene.boxes.reshape(-1, 2, 2) - shift) * 512 / side
    boxes = np.clip(corners, 0, 512).reshape(-1, 4)
    points = scene.keypoints.copy()
    points[..., :2] = (points[..., :2] - shift) * 512 / side
    inside = ((points[..., :2] >= 0) & (points[..., :2] < 512)).all(axis=-1)
    points[~inside | (points[..., 2] == 0)] = 0
    left = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[left], points[left]


def union(boxes):
    """Share of 512 x 512 pixels that boxes cover, by painting them."""
    canvas = np.zeros((2048, 2048), bool)
    for x0, y0, x1, y1 in np.rint(boxes * 4).astype(int):
        canvas[y0:y1, x0:x1] = True
    return canvas.mean()


def test_those_are_kept_of_whom_one_to_three_are_left_on_enough_of_the_square(
    built, folder, scenes
):
    kept = {sample["key"] for sample in humanverse.open(built, ["boxes"])}
    expected = {}
    for key, scene in by_key(folder, scenes).items():
        boxes, _ = cut(scene)
        area = union(boxes) if len(boxes) else 0
        assert abs(area - 0.15) > 0.002
        expected[key] = 1 <= len(boxes) <= 3 and area >= 0.15
    assert kept == {key for key, stays in expected.items() if stays}
    assert 3 <= len(kept) < len(scenes)


def test_boxes_keypoints_and_captions_are_those_of_the_scenes_moved(built, folder, scenes):
    known = by_key(folder, scenes)
    columns = ["image", "boxes", "poses", "caption", "depth", "normals"]
    with humanverse.open(built, columns) as dataset:
        for sample in dataset:
            boxes, points = cut(known[sample["key"]])
            assert sample["image"].shape == sample["normals"].shape == (512, 512, 3)
            assert sample["depth"].shape == (512, 512)
            assert sample["caption"] == known[sample["key"]].caption
            np.testing.assert_allclose(sample["boxes"], boxes, rtol=0, atol=0.5)
            np.testing.assert_allclose(sample["poses"][..., :2], points[..., :2], rtol=0, atol=0.5)
            np.testing.assert_array_equal(sample["poses"][..., 2], points[..., 2])


def test_masks_of_the_annotations_reach_samples_views_and_what_is_handed_on(built, tmp_path):
    """The scenes' export told 0.53 of the box as a person's area."""
    with humanverse.open(built, ["boxes", "mask_areas"]) as dataset:
        samples = {sample["key"]: sample for sample in dataset}
        batch = next(iter(dataset.loader(len(dataset), image_size=256, shuffle=False)))
    for sample in samples.values():
        whole = np.prod(sample["boxes"][:, 2:] - sample["boxes"][:, :2], axis=1)
        assert sample["mask_areas"].shape == whole.shape
        assert ((sample["mask_areas"] > 0) & (sample["mask_areas"] < whole)).all()
    for key, areas in zip(batch["key"], batch["mask_areas"], strict=True):
        np.testing.assert_allclose(areas, samples[key]["mask_areas"] / 4, rtol=1e-3)
    assert run("export", built, "--as", "coco", "--to", tmp_path / "c", "--without-images") == 0
    told = json.loads((tmp_path / "c" / "annotations" / "person_keypoints.json").read_text())
    areas = np.concatenate([samples[key]["mask_areas"] for key in sorted(samples)])
    np.testing.assert_allclose([one["area"] for one in told["annotations"]], areas, rtol=1e-5)


def test_the_root_is_sound(built, capsys):
    assert run("verify", built) == 0
    assert "all is well" in capsys.readouterr().out


def test_without_annotations_nothing_starts(folder, tmp_path, capsys):
    file = folder / "annotations" / "coco_wholebody.json"
    assert run("build", "coco_humans", "--input", file, "--out", tmp_path / "root") == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert "truth.annotations: give COCO's annotation file" in line
    with pytest.raises(UsageError, match="holds no person_keypoints"):
        Annotated(annotations=tmp_path).check()


def test_other_annotations_are_another_dataset(folder, tmp_path):
    """Fingerprints follow from what the file says, not from where it lies."""
    file = folder / "annotations" / "coco_wholebody.json"
    (copy := tmp_path / "wholebody.json").write_bytes(file.read_bytes())
    (other := tmp_path / "other.json").write_bytes(file.read_bytes() + b"\n")
    marks = [
        load_recipe(PIPELINES / "coco_humans.py", [f"truth.annotations={path}"]).resolved()
        for path in (file, copy, other)
    ]
    truth = [mark["stages"][1]["fingerprint"] for mark in marks]
    assert marks[0]["stages"][1]["name"] == "truth" and truth[0] == truth[1] != truth[2]


def test_a_picture_of_another_size_or_name_is_told_apart(folder):
    import pyarrow as pa

    stage = Annotated(annotations=folder / "annotations" / "coco_wholebody.json")
    stage.open()
    told = json.loads(stage.annotations.read_text())["images"][0]
    columns = ["key", "file", "original_width", "original_height", "width", "height"]
    width, height = told["width"], told["height"]
    rows = [
        ["a", f"images/{told['file_name']}", width, height, width, height],
        ["b", told["file_name"], width + 1, height, width, height],
        ["c", "unknown.jpg", width, height, width, height],
    ]
    batch = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])
    answer = stage(batch)
    assert answer["reason"].to_pylist() == [None, "not_annotated", "not_annotated"]


@pytest.fixture(scope="module")
def mini(real, tmp_path_factory):
    """The eighty photographs as COCO's folders are laid out."""
    place = tmp_path_factory.mktemp("mini")
    (place / "annotations").mkdir()
    for kind in ("person_keypoints", "captions"):
        file = real / "annotations" / f"coco_mini_{kind}.json"
        (place / "annotations" / f"{kind}_mini.json").symlink_to(file)
    (place / "images").symlink_to(real / "photos" / "coco_mini")
    return place


# pycocotools' masks are written for NumPy 1.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.real
def test_of_coco_those_are_kept_whose_annotations_say_so(mini, tmp_path):
    """By pycocotools' masks and painted boxes."""
    tools = pytest.importorskip("pycocotools.coco")
    file = mini / "annotations" / "person_keypoints_mini.json"
    told = ("--set", f"truth.annotations={mini / 'annotations'}", "--runner", "local")
    root = tmp_path / "root"
    run("plan", "coco_humans", "--input", file, "--out", root, *told[:2])
    run("collect", "coco_humans", "--out", root, *told)
    run("filter", "coco_humans", "--out", root, *told)
    rows = {row["file"]: row for row in humanverse.ledger(root).to_pylist()}
    truth = tools.COCO(str(file))
    assert len(rows) == len(truth.imgs) == 80
    for image in truth.imgs.values():
        expected, count, area = decided(truth, image)
        row = rows[image["file_name"]]
        assert row["reason"] == expected
        if expected != "crowd":
            assert row["person_count"] == count
            assert row["person_area"] == pytest.approx(area, abs=2e-3)
    assert {row["reason"] for row in rows.values()} > {None, "no_person", "people_too_small"}


def decided(truth, image):
    """The reason, how many people are left, and on how much of the square."""
    side = min(image["width"], image["height"])
    left, top = (image["width"] - side) // 2, (image["height"] - side) // 2
    boxes, crowd = [], False
    for one in truth.loadAnns(truth.getAnnIds(imgIds=[image["id"]])):
        x, y, width, height = one["bbox"]
        corners = np.array([x - left, y - top, x + width - left, y + height - top])
        box = np.clip(corners, 0, side)
        mask = truth.annToMask(one)[top : top + side, left : left + side]
        if one["iscrowd"]:
            crowd = crowd or bool((box[2:] > box[:2]).all())
        elif mask.any():
            boxes.append(box * 512 / side)
    area = union(np.array(boxes)) if boxes else 0.0
    rules = [
        (crowd, "crowd"),
        (not boxes, "no_person"),
        (len(boxes) > 3, "too_many_people"),
        (area < 0.15, "people_too_small"),
        (True, None),
    ]
    return next(reason for holds, reason in rules if holds), len(boxes), area
