"""The verb: two sets in, a table and a JSON out."""

import io
import json

import cv2
import numpy as np
import pytest
from models.small_clip import clip_folder

import humanverse
from humanverse.cli import main
from humanverse.errors import WeightsMissing
from humanverse.evaluate import distances
from humanverse.models.blaze import BlazePoseDetector, BlazePoseWholeBody
from humanverse.testing.packed import encoded, pack_scenes
from humanverse.testing.scenes import render

pytest.importorskip("torch", reason="torch is not installed")

COUNT, SIDE = 8, 96


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Scenes, the same as JPEGs of low quality, and others; all under the same keys."""
    folder = tmp_path_factory.mktemp("sets")
    for name, first, quality in (("real", 0, 95), ("worse", 0, 20), ("other", 40, 95)):
        scenes = [render(first + n, SIDE + 32, SIDE, people=1 + n % 2) for n in range(COUNT)]
        pack_scenes(folder / name, [encoded(scene, quality) for scene in scenes])
    return folder


@pytest.fixture(scope="module")
def lite():
    """The lite detector and pose, where their weights are at hand."""
    try:
        BlazePoseDetector(), BlazePoseWholeBody()
    except WeightsMissing as missing:
        pytest.skip(str(missing))


def evaluated(real, made, out, *more):
    """The verb's exit code."""
    told = ["evaluate", "--real", real, "--generated", made, "--out", out, "--size", SIDE]
    return main([str(word) for word in [*told, "--cache", out.parent / "cache", *more]])


def told(out):
    return json.loads((out / "evaluation.json").read_text())


def test_two_roots_by_random_features_and_lite_models(roots, tmp_path, capsys, lite):
    out = tmp_path / "out"
    assert evaluated(roots / "real", roots / "other", out, "--features", "random") == 0
    body, page, said = told(out), (out / "evaluation.md").read_text(), capsys.readouterr().out
    figures = body["figures"]
    assert figures["fid"]["value"] > 0.05
    assert not figures["fid"]["compares"]
    assert 0 < figures["depth_l2"]["value"] < 1
    assert 0 < figures["normals_degrees"]["value"] < 180
    for name in ("pose_ap", "pose_ar_clean", "wholebody_ap"):
        assert 0 <= figures[name]["value"] <= 100
    assert set(body["missing"]) == {"fid_clip", "cmmd", "clip"}
    assert body["settings"]["pictures"] == COUNT
    assert body["settings"]["same_keys"]
    for text in (page, said):
        assert "RANDOM features" in " ".join(text.split())
        assert "KID x 1000 (RANDOM)" in text
        assert "17.18" not in text  # what is by random features compares with no paper
        assert "30.38" in text
        assert "openai/clip-vit-base-patch32" in text
    assert page.index("KID x 1000") < page.index("FID (RANDOM)")


NAMES = ("mean", "scatter", "features")


class Code:
    """What would run, were it unpickled."""

    def __reduce__(self):
        return pytest.fail, ("it ran",)


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_a_second_run_reads_the_cache_and_says_the_same(roots, tmp_path, monkeypatch):
    told = ("--features", "random", "--metrics", "kid,fid")
    assert evaluated(roots / "real", roots / "other", tmp_path / "one", *told) == 0
    (kept,) = (tmp_path / "cache").iterdir()
    looked, before = [], humanverse.evaluate.features.Random.__call__

    def counted(self, images):
        looked.extend(images)
        return before(self, images)

    monkeypatch.setattr("humanverse.evaluate.features.Random.__call__", counted)
    assert evaluated(roots / "real", roots / "other", tmp_path / "two", *told) == 0
    assert len(looked) == COUNT  # the generated ones alone
    one, two = (tmp_path / name / "evaluation.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    whole = kept.read_bytes()
    damages = [whole[: len(whole) // 2], b"", whole[:300] + b"\xff" * 8 + whole[308:]]
    damages += [saved(mean=np.zeros(3)), saved(**dict.fromkeys(NAMES, np.zeros(3)))]
    damages += [saved(**dict.fromkeys(NAMES, np.array([Code()], object)))]
    for damage in damages:
        kept.write_bytes(damage)
        looked.clear()
        assert evaluated(roots / "real", roots / "other", tmp_path / "two", *told) == 0
        assert len(looked) == 2 * COUNT
        assert one.read_bytes() == two.read_bytes()
        assert kept.read_bytes() == whole
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [kept.name]


@pytest.mark.parametrize(
    "other", [("--size", "64"), ("--count", "6"), ("--seed", "1"), ("--real", "worse")]
)
def test_the_cache_is_of_pictures_and_settings_alike(roots, tmp_path, other):
    told = ("--features", "random", "--metrics", "kid,fid", "--count", "5")
    other = [roots / word if word == "worse" else word for word in other]
    assert evaluated(roots / "real", roots / "other", tmp_path / "out", *told) == 0
    assert evaluated(roots / "real", roots / "other", tmp_path / "out", *told, *other) == 0
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_features_are_added_to_a_cache_that_has_none(roots, tmp_path):
    sets, told = (roots / "real", roots / "other"), ("--features", "random", "--metrics")
    figures = []
    for number, metrics in enumerate(("kid,fid", "fid", "kid,fid")):
        if number == 1:
            (cached,) = (tmp_path / "cache").iterdir()
            cached.unlink()
        out = tmp_path / str(number)
        assert evaluated(*sets, out, *told, metrics) == 0
        figures.append(json.loads((out / "evaluation.json").read_text())["figures"])
    assert figures[2] == figures[0]
    assert figures[1]["fid"] == figures[0]["fid"]


def test_a_set_is_at_no_distance_from_itself_and_worse_ones_are_farther(roots, tmp_path):
    clip = clip_folder(tmp_path / "clip")
    more = ("--features", "random", "--clip", clip, "--metrics", "kid,fid,fid_clip,cmmd")
    found = {}
    for name in ("real", "worse", "other"):
        assert evaluated(roots / "real", roots / name, tmp_path / name, *more) == 0
        found[name] = {n: f["value"] for n, f in told(tmp_path / name)["figures"].items()}
    assert list(found["real"]) == ["kid_x1000", "fid", "fid_clip", "cmmd"]
    for name in ("fid", "fid_clip", "cmmd"):
        assert abs(found["real"][name]) < 1e-6 * found["other"][name]
        assert found["real"][name] < found["worse"][name] < found["other"][name]
    # Without bias it is about 0 for two sets of one kind, so below it for one and the same.
    assert found["real"]["kid_x1000"] < min(0, found["other"]["kid_x1000"])


def test_clip_scores_are_of_a_pictures_own_caption_else_the_real_ones(roots, tmp_path):
    clip, made = clip_folder(tmp_path / "clip"), tmp_path / "made"
    made.mkdir()
    with humanverse.open(roots / "real", ["image", "caption"]) as dataset:
        for sample in dataset:
            path = made / f"{sample['key']}.png"
            cv2.imwrite(str(path), sample["image"][..., ::-1])
    more = ("--clip", clip, "--metrics", "clip")
    figures = []
    for name, caption in (("real", None), ("same", sample["caption"]), ("own", "zzz 123")):
        if caption:
            path.with_suffix(".txt").write_text(caption)
        assert evaluated(roots / "real", made, tmp_path / name, *more) == 0
        figures.append(told(tmp_path / name)["figures"]["clip_score"])
    assert figures[0] == figures[1]
    assert figures[1]["settings"]["captions"] == COUNT
    assert figures[2]["value"] != figures[1]["value"]


def test_a_page_tells_how_many_of_how_many_were_measured(roots, tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    with humanverse.open(roots / "real", ["image"]) as dataset:
        for name in (dataset.key(0), dataset.key(1), "stranger"):
            cv2.imwrite(str(made / f"{name}.png"), dataset[0]["image"])
    told = ("--features", "random", "--metrics", "kid")
    assert evaluated(roots / "real", made, tmp_path / "out", *told) == 0
    page = (tmp_path / "out" / "evaluation.md").read_text()
    assert f"2 pictures of the 3 of {made}, against as many of the {COUNT} of" in page


def test_pictures_without_a_caption_have_no_score(roots, tmp_path):
    clip, made, scores = clip_folder(tmp_path / "clip"), tmp_path / "made", []
    made.mkdir()
    with humanverse.open(roots / "real", ["image"]) as dataset:
        for number in range(3):
            cv2.imwrite(str(made / f"{number}.png"), dataset[number]["image"])
    for number in range(3):
        (made / f"{number}.txt").write_text("somebody")
        out = tmp_path / str(number)
        assert evaluated(roots / "real", made, out, "--clip", clip, "--metrics", "clip") == 0
        scores.append(told(out)["figures"]["clip_score"])
        (made / f"{number}.txt").unlink()
    assert [score["settings"]["captions"] for score in scores] == [1, 1, 1]
    assert len({round(score["value"], 6) for score in scores}) > 1


def test_true_poses_are_found_where_they_are(roots):
    """Truth that is handed in as found has all precision, in the crop, too."""
    from humanverse import coco
    from humanverse.evaluate.accuracy import pose_scores, truth_of
    from humanverse.evaluate.sets import opened, seen

    real = opened(str(roots / "real"))
    keys = real.keys()
    found, moved = [], []
    for number, key in enumerate(keys):
        for pose in seen(real, key, ("image", "poses"), 64)["poses"]:
            found.append(coco.result(pose, 0.9) | {"image_id": number})
            moved.append(coco.result(pose + np.array([20, 0, 0]), 0.9) | {"image_id": number})
    truth = truth_of(real, keys, 64)
    right = pose_scores(truth, found)
    assert right["pose_ap"] == pytest.approx(100)
    assert right["wholebody_ar_clean"] == pytest.approx(100)
    wrong = pose_scores(truth, moved)
    assert wrong["pose_ap"] < 50
    nobody = pose_scores(truth | {"annotations": []}, [])
    assert nobody["pose_ap"] is None


def refused(capsys, *arguments):
    assert evaluated(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_is_asked_for_and_cannot_be_had_is_an_error(roots, tmp_path, capsys):
    sets, out = (roots / "real", roots / "other"), tmp_path / "out"
    made = tmp_path / "made"
    made.mkdir()
    for name in range(3):
        cv2.imwrite(str(made / f"{name}.png"), np.zeros((9, 9, 3), np.uint8))
    plain = (made, made)
    for told, both, more in (
        ("--inception FILE is wanted: weights-inception", sets, ("--metrics", "fid")),
        ("--clip FOLDER is wanted", sets, ("--metrics", "kid,cmmd", "--features", "random")),
        ("no metric 'fad': choose of kid", sets, ("--metrics", "fad")),
        ("no metric '': choose of kid", sets, ("--metrics", ",")),
        ("--count 9: there are 8", sets, ("--count", "9")),
        ("no poses under", plain, ("--metrics", "pose")),
        ("no depth of their own", plain, ("--metrics", "depth")),
        ("dpt needs", sets, ("--metrics", "depth", "--set", "depth.model=dpt")),
        ("looks at no picture", sets, ("--metrics", "normals", "--set", "normals.fov=60", *FROM)),
        ("no section 'dept'", sets, ("--set", "dept.model=dpt")),
        ("--kid-subset 2 or more", sets, ("--kid-subset", "1")),
        ("no folder", (tmp_path / "none", made), ()),
    ):
        assert told in refused(capsys, *both, out, *more), told
    assert not out.exists()


FROM = ("--set", "normals.model=from_depth")


def test_kid_subsets_are_told(roots, tmp_path):
    more = ("--features", "random", "--metrics", "kid", "--kid-subset", "5")
    assert evaluated(roots / "real", roots / "other", tmp_path / "out", *more) == 0
    kid = told(tmp_path / "out")["figures"]["kid_x1000"]
    assert kid["how"] == "RANDOM: 100 subsets of 5"
    assert kid["deviation"] > 0
    assert kid["settings"]["seed"] == distances.KID_SEED
    assert " ± " in (tmp_path / "out" / "evaluation.md").read_text()
