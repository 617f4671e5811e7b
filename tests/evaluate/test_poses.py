"""Scores are those that pycocotools gives when it is called as its own demo calls it."""

import copy
import json

import numpy as np
import pytest

from humanverse import coco
from humanverse.errors import UsageError
from humanverse.evaluate.poses import keypoint_scores
from humanverse.testing.scenes import render

pytest.importorskip("pycocotools", reason="pycocotools is not installed")

PEOPLE = (1, 2, 3, 5, 6, 4)
NAMES = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")


def scenes(people):
    """Truth about rendered people, larger and smaller ones, one hidden and one a crowd."""
    images, annotations = [], []
    for number, wanted in enumerate(people):
        scene = render(number + 3, 320, 240, people=wanted)
        images.append({"id": 40 - number, "width": 320, "height": 240})
        for pose, box in zip(scene.keypoints, scene.boxes, strict=True):
            made = coco.annotation(pose, box)
            annotations.append(made | {"id": len(annotations) + 1, "image_id": 40 - number})
    annotations[0]["iscrowd"] = 1
    for name, length in (("keypoints", 51), ("foot_kpts", 18), ("face_kpts", 204)):
        annotations[1][name] = [0] * length
    annotations[1]["num_keypoints"] = 0
    return {"images": images, "annotations": annotations, "categories": [dict(coco.CATEGORY)]}


@pytest.fixture(scope="module")
def truth():
    return scenes(PEOPLE)


def found_in(truth, seed, noise=0.06, lists=tuple(coco.PARTS)):
    """What a careless estimator finds: off by a share of their size, some twice, some not."""
    random = np.random.default_rng(seed)
    out = []
    for one in truth["annotations"]:
        for _ in range(random.choice([0, 1, 1, 1, 2])):
            apart = random.exponential(noise) * np.sqrt(one["area"])
            said = {"image_id": one["image_id"], "category_id": 1}
            # Scores of two digits: many are equal.
            said["score"] = round(float(random.random()), 1)
            for name in lists:
                points = np.reshape(one[name], (-1, 3)).astype(float)
                points[:, :2] += random.normal(0, apart, points[:, :2].shape)
                said[name] = points.ravel().tolist()
            out.append(said)
    order = random.permutation(len(out))
    return [out[i] for i in order]


def as_found(one):
    """A person of truth as a result."""
    fields = ("image_id", "category_id", *coco.PARTS)
    return {name: one[name] for name in fields if name in one} | {"score": 1.0}


def by_pycocotools(truth, found):
    """Its ten numbers for the body, nothing of ours in between."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    whole = COCO()
    whole.dataset = copy.deepcopy(truth)
    whole.createIndex()
    there = whole.loadRes(copy.deepcopy(found)) if found else COCO()
    judged = COCOeval(whole, there, "keypoints")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    return judged.stats.tolist()


def whole_by_pycocotools(truth, found, sigmas):
    """Its ten numbers for all points, by the five lists in a row."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    whole = COCO()
    whole.dataset = copy.deepcopy(truth)
    for one in whole.dataset["annotations"]:
        one["keypoints"] = (
            one["keypoints"]
            + one["foot_kpts"]
            + one["face_kpts"]
            + one["lefthand_kpts"]
            + one["righthand_kpts"]
        )
        one["num_keypoints"] = int(np.count_nonzero(np.array(one["keypoints"][2::3]) > 0))
    whole.createIndex()
    there = COCO()
    if found:
        there = whole.loadRes(copy.deepcopy(found))
        for one in there.dataset["annotations"]:
            one["keypoints"] = (
                one["keypoints"]
                + one["foot_kpts"]
                + one["face_kpts"]
                + one["lefthand_kpts"]
                + one["righthand_kpts"]
            )
    judged = COCOeval(whole, there, "keypoints")
    judged.params.kpt_oks_sigmas = np.array(sigmas)
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    return judged.stats.tolist()


def ours(truth, found, part="body", most=None):
    scores = keypoint_scores(truth, found, part, most)
    return [getattr(scores, name) for name in NAMES]


def agree(truth, found):
    expected = by_pycocotools(truth, found)
    assert ours(truth, found) == expected[:6]
    return expected


def agree_on_all(truth, found):
    expected = whole_by_pycocotools(truth, found, coco.SIGMAS)
    assert ours(truth, found, "wholebody") == expected[:6]
    return expected


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_pycocotools(truth, seed):
    found = found_in(truth, seed)
    scores, wholly = agree(truth, found), agree_on_all(truth, found)
    assert 0 < scores[0] < 1 and 0 < wholly[0] < 1 and scores != wholly


def test_truth_itself_scores_one(truth):
    found = [as_found(one) for one in truth["annotations"]]
    assert agree(truth, found)[0] == agree_on_all(truth, found)[0] == 1


def test_swapped_scores_and_duplicates_are_counted_as_pycocotools_counts_them(truth):
    found = found_in(truth, 9)
    turned = [one | {"score": 1 - one["score"]} for one in found]
    twice = found + [one | {"score": one["score"] + 0.001} for one in found]
    assert len({tuple(agree(truth, which)) for which in (found, turned, twice)}) == 3


def test_people_beyond_twenty_in_a_picture_are_not_looked_at(truth):
    some = found_in(truth, 2, noise=0.02)
    many = [one | {"score": one["score"] / 50} for one in some]
    guesses = [some[0] | {"keypoints": [float(n), 5.0, 1] * 17, "score": 0.9} for n in range(25)]
    assert agree(truth, many + guesses) != agree(truth, many)
    assert keypoint_scores(truth, many + guesses, "body").found == len(many) + 25
    agree_on_all(truth, many + guesses)


def test_nothing_found_scores_nothing_and_no_truth_scores_minus_one(truth):
    assert agree(truth, [])[:2] == agree_on_all(truth, [])[:2] == [0, 0]
    empty = truth | {"annotations": []}
    found = found_in(truth, 1)
    for some in (found, []):
        assert set(agree(empty, some)) == set(agree_on_all(empty, some)) == {-1}
    nowhere = empty | {"images": []}
    assert set(ours(nowhere, [])) == set(ours(nowhere, [], "wholebody")) == {-1}


def test_boxes_of_what_was_found_decide_its_size_where_there_are_any(truth):
    found = found_in(truth, 5, noise=0.2)
    boxed = [one | {"bbox": [0, 0, 40, 40]} for one in found]
    assert agree(truth, boxed)[3:5] != agree(truth, found)[3:5]
    agree_on_all(truth, boxed)


def test_people_without_labels_on_the_body_count_by_their_other_points(truth):
    turned = copy.deepcopy(truth)
    for one in turned["annotations"][2:]:
        one["keypoints"], one["num_keypoints"] = [0] * 51, 0
    found = [one | {"score": 1.0} for one in turned["annotations"]]
    assert agree(turned, found)[0] == -1
    assert agree_on_all(turned, found)[0] == 1


def test_hidden_points_count_like_seen_ones(truth):
    hidden = copy.deepcopy(truth)
    for one in hidden["annotations"]:
        for name in coco.PARTS:
            one[name][2::3] = [min(flag, 1) for flag in one[name][2::3]]
    found = found_in(truth, 4)
    assert agree_on_all(hidden, found) == agree_on_all(truth, found)
    assert agree(hidden, found) == agree(truth, found)


def test_counts_are_of_those_who_count(truth):
    scores = keypoint_scores(truth, [], "body")
    labelled = [a for a in truth["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    assert scores.people == len(labelled) == len(truth["annotations"]) - 2
    assert scores.pictures == 6 and scores.found == 0


def placed(truth, number):
    """The person of an annotation found as it is, points outside the picture at its edge."""
    told = truth["annotations"][number - 1]
    scene = render(43 - told["image_id"], 320, 240, people=PEOPLE[40 - told["image_id"]])
    boxes = [coco.annotation(np.zeros((133, 3)), box)["bbox"] for box in scene.boxes]
    which = boxes.index(told["bbox"])
    pose = np.clip(scene.keypoints[which], 0, [320, 240, 1])
    return coco.result(pose, 1.0) | {"image_id": told["image_id"]}


def largest(truth, most):
    """For each picture the ids of those who count if only so many do."""
    out = {}
    for picture in truth["images"]:
        those = [
            a
            for a in truth["annotations"]
            if a["image_id"] == picture["id"] and a["num_keypoints"] and not a["iscrowd"]
        ]
        out[picture["id"]] = {a["id"] for a in sorted(those, key=lambda a: -a["area"])[:most]}
    return out


def test_of_many_people_only_the_largest_count_and_finding_the_others_is_no_mistake(truth):
    chosen = {number for ids in largest(truth, 3).values() for number in ids}
    assert len(chosen) < len(truth["annotations"]) - 2
    everyone = [a["id"] for a in truth["annotations"] if a["num_keypoints"]]
    everyone, salient = (
        [placed(truth, number) for number in those] for those in (everyone, sorted(chosen))
    )
    for found in (everyone, salient):
        scores = keypoint_scores(truth, found, "body", most=3)
        assert scores.ap == scores.ar == 1 and scores.people == len(chosen)
    assert keypoint_scores(truth, salient, "body").ar < 1
    missed = keypoint_scores(truth, salient[1:], "body", most=3)
    assert missed.ar == pytest.approx(1 - 1 / len(chosen))


def test_the_clean_variant_is_pycocotools_with_the_others_unlabelled(truth):
    for part, direct in (
        ("body", by_pycocotools),
        ("wholebody", lambda t, f: whole_by_pycocotools(t, f, coco.SIGMAS)),
    ):
        changed, found = copy.deepcopy(truth), found_in(truth, 3)
        if part == "wholebody":  # the second person has hands
            changed["annotations"][1]["num_keypoints"] = 1
        chosen = {number for ids in largest(changed, 2).values() for number in ids}
        for one in changed["annotations"]:
            if one["id"] not in chosen and not one["iscrowd"]:
                x, y, w, h = one["bbox"]
                lists = [*coco.PARTS][: 1 if part == "body" else 5]
                seen = [p for n in lists for p in np.reshape(one[n], (-1, 3)) if p[2]]
                xs, ys = (
                    [v, v + s, *(p[axis] for p in seen)] for axis, v, s in ((0, x, w), (1, y, h))
                )
                one["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
                one["num_keypoints"] = 0
                for name in coco.PARTS:
                    one[name] = [0] * len(one[name])
        assert ours(truth, found, part, most=2) == direct(changed, found)[:6]


def test_what_was_given_stays_as_it_was_and_nothing_is_printed(truth, capsys):
    found = found_in(truth, 1)
    before = copy.deepcopy([truth, found])
    keypoint_scores(truth, found, "wholebody", most=1)
    keypoint_scores(truth, found, "body", most=1)
    assert [truth, found] == before
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told[0].pop("categories"), "truth has no categories"),
        (lambda told: told[0]["annotations"][0].pop("area"), "person of truth has no area"),
        (lambda told: told[1][0].pop("score"), "person found has no score"),
        (lambda told: told[1][3].pop("face_kpts"), "person found has no face_kpts"),
        (lambda told: told[1][0].update(image_id=77), "picture 77, which is not in truth"),
        (lambda told: told[1][0].update(bbox=[1, 2, 3, 4]), "give all of them one"),
    ],
)
def test_what_is_no_coco_is_refused_in_one_line(truth, change, message):
    spoilt, found = copy.deepcopy(truth), found_in(truth, 0)
    change((spoilt, found))
    with pytest.raises(UsageError, match=message):
        keypoint_scores(spoilt, found, "wholebody")


@pytest.fixture(scope="module")
def mini(real):
    return json.loads((real / "annotations" / "coco_mini_person_keypoints.json").read_text())


@pytest.fixture(scope="module")
def labelled(real):
    return json.loads((real / "annotations" / "coco_wholebody_2images.json").read_text())


@pytest.mark.real
@pytest.mark.parametrize("seed", range(2))
def test_scores_on_coco_are_those_of_pycocotools(mini, seed):
    assert sum(a["iscrowd"] for a in mini["annotations"]) == 5
    found = found_in(mini, seed, lists=("keypoints",))
    assert 0 < agree(mini, found)[0] < 1
    perfect = [as_found(a) for a in mini["annotations"] if a["num_keypoints"]]
    assert agree(mini, perfect)[0] == 1
    agree(mini, [one | {"score": -one["score"]} for one in found + perfect])


@pytest.mark.real
@pytest.mark.parametrize("seed", range(3))
def test_scores_on_coco_wholebody_are_those_of_pycocotools(labelled, seed):
    found = found_in(labelled, seed, noise=0.02)
    assert 0 < agree_on_all(labelled, found)[0] < 1
    agree(labelled, found)
    perfect = [as_found(a) for a in labelled["annotations"]]
    assert agree_on_all(labelled, found + perfect)[0] > 0.4
