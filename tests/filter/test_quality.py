"""Scores of pictures and what is decided by them, with small random weights and with none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from models.odd import odd_pictures
from shared import HERE, rows_of

import humanverse
from humanverse.codec import decode_jpeg, encode_jpeg
from humanverse.errors import UsageError
from humanverse.filter import Quality
from humanverse.filter.quality import ChooseQuality, ScoreQuality
from humanverse.filter.scorers import Choice, make_scorer
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.models.torched import TOLERANCE, How
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, Watcher, build
from humanverse.stage import Resources, check_chain, fingerprints

MADE_UP = HERE / "recipes" / "made_up.py"
HINTS = {
    "aesthetic_hint": pa.float32(),
    "punsafe": pa.float32(),
    "pwatermark": pa.float32(),
    "similarity": pa.float32(),
}
LOCAL = Settings("local")


def batch_of(count=5, **columns):
    """Pictures with what a table says of them: nothing, unless told."""
    images = [encode_jpeg(image, 95) for image in odd_pictures()][:count]
    table = {
        "key": [f"{n:032x}" for n in range(count)],
        "image": pa.array(images, pa.large_binary()),
    }
    table["caption"] = pa.array(columns.pop("caption", [None] * count), pa.string())
    for name, kind in HINTS.items():
        table[name] = pa.array(columns.pop(name, [None] * count), kind)
    return pa.table(table | columns)


def scored(stage, batch):
    stage.check()
    stage.open()
    answer = stage(batch.select(["key", *stage.reads]))
    assert answer.schema.remove(0) == stage.writes
    return answer.to_pydict()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small CLIP and heads of all kinds for it."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from models.small_clip import WIDTH, clip_folder
    from models.test_heads import chain, saved

    folder = tmp_path_factory.mktemp("weights")
    clip_folder(folder / "clip")
    v1 = chain(WIDTH, 1)[0]
    state = {"norm.mean": torch.zeros(WIDTH), "norm.variance": torch.full((WIDTH,), 0.01)}
    for at, layer in enumerate(chain(WIDTH, 8, 1), 1):
        state |= {f"linear_{at}.{name}": value for name, value in layer.state_dict().items()}
    saved(folder / "nsfw.pth", state)
    saved(folder / "v1.pth", v1.state_dict())
    saved(folder / "wide.pth", chain(WIDTH + 1, 1)[0].state_dict())
    return folder


def with_weights(weights, **settings):
    own = {"clip": "clip", "aesthetic_head": "v1.pth", "nsfw_head": "nsfw.pth"}
    files = {name: weights / file for name, file in own.items()}
    return ScoreQuality(**files | {"device": "cpu", "batch": 2} | settings)


def test_without_weights_scores_are_the_tables_and_null_where_it_has_none():
    told = {
        "aesthetic_hint": [5.5, None, float("nan"), 4.0, 6.0],
        "punsafe": [0.1, 0.9, None, None, None],
        "pwatermark": [None, None, 0.5, None, 0.2],
        "similarity": [0.3, None, None, None, None],
    }
    stage = ScoreQuality()
    assert "image" not in stage.reads
    found = scored(stage, batch_of(**told))
    assert found["aesthetic"] == [5.5, None, None, 4.0, 6.0]
    assert found["nsfw_score"] == pytest.approx([0.1, 0.9, None, None, None])
    assert found["watermark_score"] == pytest.approx([None, None, 0.5, None, 0.2])
    assert found["text_similarity"] == pytest.approx([0.3, None, None, None, None])


def test_what_is_measured_counts_and_only_the_watermark_is_the_tables(weights):
    captions = ["a man", None, "  ", "two women", ""]
    told = {"aesthetic_hint": [5.0] * 5, "punsafe": [0.5] * 5, "pwatermark": [0.25] * 5}
    batch = batch_of(caption=captions, similarity=[0.1] * 5, **told)
    found = scored(with_weights(weights, embedding=True), batch)
    choice = Choice(
        weights / "clip", aesthetic_head=weights / "v1.pth", nsfw_head=weights / "nsfw.pth"
    )
    scorer = make_scorer(choice, How("cpu"))
    embeddings = scorer.images.embed([decode_jpeg(i.as_py()) for i in batch["image"]])
    assert np.allclose(found["aesthetic"], scorer.aesthetic(embeddings), atol=1e-4)
    assert np.allclose(found["nsfw_score"], scorer.nsfw(embeddings), atol=1e-4)
    assert found["watermark_score"] == [0.25] * 5
    words = scorer.texts.embed(["a man", "two women"])
    similar = (embeddings[[0, 3]] * words).sum(-1)
    # fp32 cosines: batches of other sizes round otherwise on some processors.
    wanted = [similar[0], None, None, similar[1], None]
    assert found["text_similarity"] == pytest.approx(wanted, abs=1e-7)
    assert np.allclose(found["embedding"], embeddings, atol=1e-3)
    assert np.allclose(np.linalg.norm(np.array(found["embedding"], float), axis=1), 1, atol=1e-3)


def test_a_head_that_is_left_out_leaves_its_score_to_the_table(weights):
    stage = with_weights(weights, aesthetic="table", aesthetic_head=None, nsfw_head=None)
    found = scored(stage, batch_of(aesthetic_hint=[1.0] * 5, punsafe=[None, 0.5, 0.5, 0.5, 0.5]))
    assert found["aesthetic"] == [1.0] * 5
    assert found["nsfw_score"] == [None, 0.5, 0.5, 0.5, 0.5]


def test_scores_do_not_depend_on_how_a_batch_is_cut(weights):
    batch = batch_of(caption=["a", "b c", "d e f", None, "g"])
    whole = scored(with_weights(weights, embedding=True), batch)
    for size in (1, 3):
        stage = with_weights(weights, embedding=True, batch=size)
        stage.open()
        cuts = [batch.slice(at, size).select(["key", *stage.reads]) for at in range(0, 5, size)]
        parts = [stage(cut).to_pydict() for cut in cuts]
        for name in ("aesthetic", "nsfw_score", "text_similarity", "embedding"):
            there = np.array([v for part in parts for v in part[name]], float)
            here = np.array(whole[name], float)
            assert np.nanmax(np.abs(there - here)) <= TOLERANCE


def test_an_empty_batch_has_no_scores(weights):
    assert scored(with_weights(weights, embedding=True), batch_of(0))["embedding"] == []


def decided(stage=None, **columns):
    names = ("aesthetic", "nsfw_score", "watermark_score", "text_similarity")
    rows = {name: pa.array([columns.get(name)], pa.float32()) for name in names}
    batch = pa.table(
        {"key": ["0" * 32], "nsfw": pa.array([columns.get("nsfw")], pa.string())} | rows
    )
    return (stage or ChooseQuality())(batch)["reason"].to_pylist()[0]


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({}, None),
        ({"aesthetic": 4.5}, None),
        ({"aesthetic": 4.49}, "low_aesthetic"),
        ({"nsfw_score": 0.5}, None),
        ({"nsfw_score": 0.51, "aesthetic": 1.0}, "unsafe"),
        ({"watermark_score": 0.8}, None),
        ({"watermark_score": 0.81}, "watermark"),
        ({"text_similarity": 0.01}, None),
        ({"nsfw": "NSFW"}, "unsafe"),
        ({"nsfw": "NSFW", "nsfw_score": 0.1}, None),
        ({"nsfw": "UNLIKELY"}, None),
    ],
)
def test_a_score_beyond_its_bound_rejects_and_one_that_is_not_known_does_not(scores, reason):
    assert decided(**scores) == reason


def test_bounds_are_settings():
    strict = ChooseQuality(min_aesthetic=None, max_nsfw=None, min_similarity=0.25)
    assert decided(strict, aesthetic=1.0, nsfw_score=1.0) is None
    assert decided(strict, text_similarity=0.24) == "caption_mismatch"


def test_what_nobody_knows_rejects_if_a_recipe_wants_it_known():
    wary = ChooseQuality(unknown="reject", max_watermark=None)
    assert decided(wary, aesthetic=5.0, nsfw_score=0.1) is None
    assert decided(wary, aesthetic=5.0) == "score_unknown"
    assert decided(wary, aesthetic=1.0) == "low_aesthetic"
    assert decided(wary, aesthetic=5.0, nsfw="NSFW") == "unsafe"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"clip": None}, "quality.aesthetic_head needs quality.clip"),
        ({"clip": None, "aesthetic_head": None, "nsfw_head": None, "embedding": True}, "needs"),
        ({"clip": "gone"}, "there is no file"),
        ({"aesthetic_head": "gone"}, "there is no file"),
        ({"aesthetic_head": "wide.pth"}, "takes embeddings of 25 numbers, quality.clip gives 24"),
        ({"nsfw_head": "v1.pth"}, "is no NSFW head"),
        ({"aesthetic_head": "nsfw.pth"}, "is no aesthetic head"),
        ({"aesthetic_head": None}, "has no aesthetic head v2 for embeddings of 24"),
        ({"clip": "v1.pth", "library": "transformers"}, "takes a folder"),
        ({"clip": "v1.pth"}, "quality.clip gives 768"),
        ({"clip": "v1.pth", "tower": "vit_q.openai"}, "has no CLIP tower"),
        ({"device": "gpu"}, "none of auto"),
        ({"batch": 0}, "a batch of 0"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(weights, fields, told):
    files = {n: weights / v for n, v in fields.items() if n in FILES and v is not None}
    with pytest.raises(UsageError, match=told) as refused:
        with_weights(weights, **fields | files).check()
    assert "\n" not in str(refused.value)


FILES = ("clip", "aesthetic_head", "nsfw_head")


def test_the_group_hands_each_stage_its_settings_and_the_chain_fits():
    group = Quality(clip=Path("x"), embedding=True, min_aesthetic=5.0, gpus=0.5, unknown="reject")
    score, choose = group.stages()
    assert (score.clip, score.embedding, score.resources) == (Path("x"), True, Resources(1, 0.5))
    assert (choose.min_aesthetic, choose.unknown) == (5.0, "reject")
    check_chain([score, choose], [*HINTS, "image", "caption", "nsfw"])
    assert load_recipe("humanverse", ["quality.min_aesthetic=none", "quality.embedding=true"])


def test_a_threshold_changes_the_decisions_fingerprint_alone():
    before, after = (fingerprints(Quality(min_aesthetic=n).stages()) for n in (4.5, 5.0))
    assert before["score"] == after["score"]
    assert before["quality"] != after["quality"]


def test_who_starts_a_run_is_told_what_is_not_measured(weights):
    (told,) = ScoreQuality().notes()
    assert told.startswith("no CLIP at hand (quality.clip): aesthetic, NSFW and similarity scores")
    (told,) = with_weights(weights, nsfw_head=None).notes()
    assert told.startswith("no NSFW head at hand (quality.nsfw_head): the NSFW score is")
    assert with_weights(weights).notes() == ()


class Heard(Watcher):
    def __init__(self):
        self.lines = []

    def says(self, message):
        self.lines.append(message)


@pytest.fixture
def table(tmp_path):
    """Addresses, half of them with an aesthetic score."""
    rows = range(120)
    file = tmp_path / "urls.parquet"
    columns = {
        "url": [f"https://example.org/{n}.jpg" for n in rows],
        "text": [f"picture {n}" for n in rows],
        "aesthetic": pa.array([None if n % 2 else 3 + n / 40 for n in rows], pa.float32()),
    }
    pq.write_table(pa.table(columns), file)
    return file


def recipe_with(**settings):
    recipe = load_recipe(MADE_UP, ["plan.unit_rows=60"])
    return replace(recipe, filter=[*recipe.filter, Quality(**settings)])


def test_a_build_rejects_by_the_tables_scores_and_says_that_they_are(table, tmp_path):
    heard, root = Heard(), tmp_path / "root"
    build(recipe_with(), [table], root, settings=LOCAL, watcher=heard)
    assert sum("no CLIP at hand" in line for line in heard.lines) == 1
    rejected = [r for r in rows_of(root, "rejected") if r["stage"] == "quality"]
    assert {row["reason"] for row in rejected} == {"low_aesthetic"}
    assert all(row["aesthetic"] < 4.5 for row in rejected)
    kept = rows_of(root)
    assert {row["aesthetic"] is None for row in kept} == {True, False}
    assert all(row["aesthetic"] is None or row["aesthetic"] >= 4.5 for row in kept)
    with humanverse.open(root) as ds:
        assert ds[0]["meta"]["aesthetic"] == ds.to_table(["aesthetic"])["aesthetic"][0].as_py()
    assert verify(Store(root)) == []


def test_new_thresholds_run_the_decision_alone(table, tmp_path):
    root = tmp_path / "root"
    for name in ("collect", "filter", "annotate"):
        inputs = [table] if name == "collect" else []
        build(recipe_with(), inputs, root, slices=[name], settings=LOCAL)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    known = {"unknown": "reject", "max_nsfw": None, "max_watermark": None}
    stricter, redo = recipe_with(min_aesthetic=5.5, **known), Settings("local", redo=True)
    build(stricter, [], root, slices=["filter"], packed=False, settings=redo)
    made = {path.parent.name for path in root.rglob("*.parquet")} - {"commits"}
    new = {p.parent.name for p in root.rglob("*.parquet") if before.get(p) != p.stat().st_mtime_ns}
    assert {"score", "quality", "detect"} <= made
    assert new & {"collect", "detect", "people", "score", "quality"} == {"quality"}
    build(stricter, [], root, slices=["annotate"], settings=redo)
    assert {row["reason"] for row in rows_of(root, "rejected")} >= {"score_unknown"}
    assert min(row["aesthetic"] for row in rows_of(root)) >= 5.5
    assert verify(Store(root)) == []


def test_embeddings_stand_in_the_shards_own_tables_and_nowhere_else(weights, table, tmp_path):
    settings = {n: getattr(with_weights(weights), n) for n in (*FILES, "device", "batch")}
    settings |= {"embedding": True, "min_aesthetic": None, "max_nsfw": None}
    recipe, root = recipe_with(**settings), tmp_path / "root"
    heard = Heard()
    build(recipe, [table], root, settings=LOCAL, watcher=heard)
    assert not any("at hand" in line for line in heard.lines)
    with humanverse.open(root) as ds:
        assert len(ds) > 3
        assert "embedding" not in ds.table.schema.names
        assert "embedding" not in ds[0]["meta"]
        assert ds[0]["meta"]["nsfw_score"] == pytest.approx(
            ds.to_table(["nsfw_score"])["nsfw_score"][0].as_py()
        )
    for path in (root / "shards").glob("0*.parquet"):
        column = pq.read_table(path)["embedding"]
        assert column.type == pa.list_(pa.float16())
        lengths = np.linalg.norm(np.array(column.to_pylist(), float), axis=1)
        assert np.allclose(lengths, 1, atol=1e-3)
    assert verify(Store(root)) == []
