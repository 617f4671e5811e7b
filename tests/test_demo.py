"""The demo's recipe with the lite models, on its web, small."""

import pytest
from shared import RAY_WARNS, everything

import humanverse
from humanverse.errors import WeightsMissing
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.models.store import listed, weight_path
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.testing.web import SHOWN, demo_web


@pytest.fixture(scope="module", autouse=True)
def weights():
    try:
        for name in listed():
            if name.startswith("blazepose/"):
                weight_path(name)
    except WeightsMissing as missing:
        pytest.skip(f"{missing}")


@RAY_WARNS
def test_both_runners_meet_every_planned_fate_with_the_same_bytes(tmp_path):
    recipe = load_recipe("demo", ["collect.allow_hosts=127.0.0.1", "plan.unit_rows=16"])
    with demo_web(pictures=16) as web:
        web.write_table(tmp_path / "urls.parquet")
        for runner in ("local", "ray"):
            root = tmp_path / runner
            build(recipe, [tmp_path / "urls.parquet"], root, settings=Settings(runner))
            wrong = [row for row in web.compare(humanverse.ledger(root)) if not row[2]]
            assert not wrong
            assert verify(Store(root)) == []
            once = {
                row.path: found
                for row, found, _ in web.compare(humanverse.ledger(root))
                if row.fate == SHOWN
            }
            assert list(once.values()).count(None) == 1
        assert web.canary_contacts == 0
    assert everything(tmp_path / "local") == everything(tmp_path / "ray")
    with humanverse.open(tmp_path / "local") as ds:
        assert len(ds) >= 6
        for sample in ds:
            height, width = sample["image"].shape[:2]
            assert sample["poses"].shape == (sample["meta"]["person_count"], 133, 3)
            assert sample["depth"].shape == (height, width)
            assert sample["normals"].shape == (height, width, 3)
