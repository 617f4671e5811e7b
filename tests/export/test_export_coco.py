"""What is exported as COCO is the truth about the scenes, read by pycocotools."""

import hashlib
import io
import json
import tracemalloc

import numpy as np
import pytest
from export.exporting import contents, exported

import humanverse
from humanverse import coco
from humanverse import keypoints as kp
from humanverse.evaluate.poses import keypoint_scores
from humanverse.export.coco import Ids
from humanverse.export.folder import write_json


@pytest.fixture(scope="module")
def handed(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    assert exported(whole.root, "coco-wholebody", folder / "wholebody") == 0
    assert exported(whole.root, "coco", folder / "body") == 0
    return folder


def read(folder, name="coco_wholebody"):
    return json.loads((folder / "annotations" / f"{name}.json").read_text())


def truth_of(scenes):
    """COCO's truth about scenes, from the scenes alone."""
    images, annotations = [], []
    for key, scene in scenes.items():
        picture = int(key[:13], 16)
        images.append(
            {"id": picture, "height": scene.depth.shape[0], "width": scene.depth.shape[1]}
        )
        for person, (box, points) in enumerate(zip(scene.boxes, scene.keypoints, strict=True), 1):
            left, top, right, bottom = box.tolist()
            seen = points[:, 2:] * 2
            flat = np.hstack([points[:, :2] * (seen > 0), seen]).round(3)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": int((scene.person_ids == person).sum()),
                    "num_keypoints": int((seen[:17] > 0).sum()),
                    "keypoints": flat[:17].ravel().tolist(),
                    "foot_kpts": flat[17:23].ravel().tolist(),
                    "face_kpts": flat[23:91].ravel().tolist(),
                    "lefthand_kpts": flat[91:112].ravel().tolist(),
                    "righthand_kpts": flat[112:].ravel().tolist(),
                }
            )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1}]}


LISTS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")


@pytest.mark.parametrize("exported_is_truth", [False, True])
def test_scores_against_the_scenes_are_one_by_pycocotools(whole, handed, exported_is_truth):
    tools = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    truth, there = (
        tools.COCO(),
        tools.COCO(str(handed / "wholebody/annotations/coco_wholebody.json")),
    )
    truth.dataset = truth_of(whole.scenes)
    truth.createIndex()
    if exported_is_truth:
        truth, there = there, truth
    found = [
        {name: one[name] for name in ("image_id", "category_id", "bbox", *LISTS)} | {"score": 1.0}
        for one in there.dataset["annotations"]
    ]
    results = truth.loadRes(found)
    for one in (*truth.dataset["annotations"], *results.dataset["annotations"]):
        one["keypoints"] = [number for name in LISTS for number in one[name]]
    for one in truth.dataset["annotations"]:
        one["num_keypoints"] = int(np.count_nonzero(one["keypoints"][2::3]))
    judged = COCOeval(truth, results, "keypoints")
    judged.params.kpt_oks_sigmas = coco.SIGMAS
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    assert judged.stats[0] == judged.stats[5] == 1


def test_scores_of_the_body_against_the_scenes_are_one(whole, handed):
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    found = [
        one | {"score": 1.0} for one in read(handed / "body", "person_keypoints")["annotations"]
    ]
    scores = keypoint_scores(truth_of(whole.scenes), found, "body")
    assert scores.ap == scores.ar == 1 and scores.people == len(found) > 8


def test_every_person_is_as_in_the_scene(whole, handed):
    told = read(handed / "wholebody")
    keys = {image["id"]: image["key"] for image in told["images"]}
    by_key = {key: [] for key in whole.scenes}
    for one in told["annotations"]:
        by_key[keys[one["image_id"]]].append(one)
    for key, scene in whole.scenes.items():
        for box, points, one in zip(scene.boxes, scene.keypoints, by_key[key], strict=True):
            np.testing.assert_array_equal(coco.box_of(one), box)
            there = points * (points[:, 2:] > 0)
            np.testing.assert_allclose(coco.pose_of(one), there, rtol=0, atol=1e-4)
            assert one["num_keypoints"] == (points[kp.BODY, 2] > 0).sum()


def test_the_body_s_file_says_of_the_body_what_the_other_says(handed):
    whole, body = read(handed / "wholebody"), read(handed / "body", "person_keypoints")
    assert whole["images"] == body["images"] and whole["categories"] == body["categories"]
    for one, other in zip(body["annotations"], whole["annotations"], strict=True):
        assert one == {name: other[name] for name in one} and "face_kpts" not in one


def test_pictures_are_those_of_the_dataset_under_their_keys(whole, handed):
    with humanverse.open(whole.root, ["image"], decode=False) as dataset:
        assert len(dataset) == 8
        for sample, image in zip(dataset, read(handed / "body", "captions")["images"], strict=True):
            assert image["key"] == sample["key"] and image["file_name"] == f"{sample['key']}.jpg"
            path = handed / "body" / "images" / image["file_name"]
            assert path.read_bytes() == sample["image"]


def test_captions_are_in_coco_s_format(whole, handed):
    tools = pytest.importorskip("pycocotools.coco")
    told = tools.COCO(str(handed / "wholebody" / "annotations" / "captions.json"))
    for key, scene in whole.scenes.items():
        (one,) = told.loadAnns(told.getAnnIds(imgIds=[int(key[:13], 16)]))
        assert one["caption"] == scene.caption


def test_splits_have_files_of_their_own_with_the_numbers_of_the_whole(split, handed, tmp_path):
    assert exported(split.root, "coco-wholebody", tmp_path / "to") == 0
    whole, seen, said = read(handed / "wholebody"), [], []
    for name in ("train", "validation", "test"):
        part = read(tmp_path / "to", f"coco_wholebody_{name}")
        assert {split.of[image["key"]] for image in part["images"]} == {name}
        assert all(image in whole["images"] for image in part["images"])
        captions = read(tmp_path / "to", f"captions_{name}")
        assert {c["image_id"] for c in captions["annotations"]} == {i["id"] for i in part["images"]}
        seen += part["annotations"]
        said += [caption["id"] for caption in captions["annotations"]]
    assert sorted(said) == [*range(1, 9)]
    assert sorted(one["id"] for one in seen) == [one["id"] for one in whole["annotations"]]
    people = {json.dumps(one | {"id": 0}) for one in seen}
    assert people == {json.dumps(one | {"id": 0}) for one in whole["annotations"]}


class Keys(list):
    """Samples of which only keys are known."""

    def key(self, number):
        return self[number]


def test_a_picture_s_number_follows_from_its_key_alone():
    keys = [hashlib.sha256(bytes([n])).hexdigest()[:32] for n in range(200)]
    some, all_of_them = Ids(Keys(keys[::3])), Ids(Keys(keys))
    assert [some[key] for key in keys[::3]] == [all_of_them[key] for key in keys[::3]]
    numbers = [all_of_them[key] for key in keys]
    assert len(set(numbers)) == 200 and max(numbers) < 2**53


def test_keys_that_begin_alike_have_numbers_of_their_own():
    keys = [f"{begin:013x}{end:019x}" for begin in (7, 8, 2**52 - 1) for end in range(3)]
    ids = Ids(Keys(keys))
    numbers = [ids[key] for key in keys]
    assert len(set(numbers)) == len(keys)
    assert numbers[0] == 7 and numbers[3] == 8


def test_json_is_written_as_it_comes():
    """A list of entries takes no memory: that of a million samples would not fit."""

    class Nowhere(io.RawIOBase):
        size = 0

        def write(self, data):
            self.size += len(data)
            return len(data)

    entries = ({"id": number, "key": f"{number:032x}"} for number in range(50_000))
    tracemalloc.start()
    sink = Nowhere()
    write_json(sink, {"info": {}, "images": entries, "annotations": iter([])})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sink.size > 2_500_000 and most < 100_000


def test_json_of_iterators_is_json_of_lists():
    told = {"info": {"a": 'äöü\n"'}, "none": [], "one": [{"x": 1.5}], "some": [1, 2, 3]}
    file = io.BytesIO()
    write_json(file, {name: iter(v) if isinstance(v, list) else v for name, v in told.items()})
    assert json.loads(file.getvalue()) == told


def test_pictures_can_be_left_out(whole, handed, tmp_path, capsys):
    assert exported(whole.root, "coco", tmp_path / "to", "--without-images") == 0
    files = {name for name in contents(handed / "body") if not name.startswith("images/")}
    assert set(contents(tmp_path / "to")) == files
    assert "8 samples" in capsys.readouterr().out
