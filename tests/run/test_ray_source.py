"""Ray reads the chosen samples as we do, when it comes to them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import RAY_WARNS

import humanverse
from humanverse.load.decode import STORED
from humanverse.run.ray_source import BLOCK, _blocks, _schema, _tables, read


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6))
def test_blocks_hold_each_sample_once_and_are_never_of_two_shards(lengths):
    stops = np.cumsum(lengths).tolist()
    starts = [0, *stops[:-1]]
    blocks = _blocks([(n, *ends) for n, ends in enumerate(zip(starts, stops, strict=True))])
    assert [n for start, stop in blocks for n in range(start, stop)] == list(range(stops[-1]))
    assert all(0 < stop - start <= BLOCK for start, stop in blocks)
    assert {stop for _, stop in blocks} >= set(stops)


def test_a_task_gives_a_block_for_each_of_its_ranges(scenes):
    with humanverse.open(scenes, ["caption", "depth"]) as ds:
        first, second = _tables(ds, [(1, 3), (3, 7)], _schema(ds))
        assert first.schema == second.schema == _schema(ds)
        assert first["key"].to_pylist() == [ds.key(1), ds.key(2)]
        assert second["caption"].to_pylist() == [ds[n]["caption"] for n in range(3, 7)]
        told = ds.to_table(["depth_scale"])["depth_scale"].to_pylist()
        assert second["depth_scale"].to_pylist() == told[3:7]


@RAY_WARNS
@pytest.mark.slow
def test_ray_reads_the_chosen_samples_as_they_are_and_decoded(scenes):
    import ray

    with humanverse.open(scenes, filters=[("person_count", "==", 2)]) as two:
        try:
            made = read(two)
            assert made.count() == len(two) > 2
            assert made.schema().names[:4] == ["key", "height", "width", "image"]
            rows = sorted(made.take_all(), key=lambda row: row["key"])
            seen = read(two.only([*STORED, "pose_map"]), decode=True).take_all()
        finally:
            ray.shutdown()
        raw = list(two.only(STORED, decode=False))
        assert [row["key"] for row in rows] == [sample["key"] for sample in raw]
        for row, sample in zip(rows, raw, strict=True):
            for name in ("image", "depth", "normals"):
                assert row[name] == sample[name]
            for name in ("caption", "meta", "poses"):
                assert row[name].encode() == sample[name]
            assert row["depth_scale"] == np.float32(json.loads(row["meta"])["depth"]["scale"])
        ours = {sample["key"]: sample for sample in two.only([*STORED, "pose_map"])}
        assert len(seen) == len(ours)
        for row in seen:
            mine = ours[row["key"]]
            for name in ("image", "depth", "normals", "poses", "pose_map"):
                assert (np.asarray(row[name]) == mine[name]).all(), name
            assert (row["caption"], row["depth_kind"]) == (mine["caption"], mine["depth_kind"])
            assert json.loads(row["meta"]) == mine["meta"]
