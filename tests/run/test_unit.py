"""A stage cannot lose a row, whatever it gives."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.errors import DataError
from humanverse.run.answers import cuts
from humanverse.run.unit import apply
from humanverse.stage import BaseStage


@dataclass
class Double(BaseStage):
    name = "double"
    reads = ("value",)
    writes = pa.schema({"doubled": pa.int64()})
    reasons = {"odd": "an odd number"}
    batch_rows = 3

    def __call__(self, batch):
        values = batch["value"].to_pylist()
        reasons = ["odd" if v % 2 else None for v in values]
        return pa.table(
            {"key": batch["key"], "doubled": [2 * v for v in values], "reason": reasons}
        )


def state(values, dead=()):
    count = len(values)
    return pa.table(
        {
            "key": [f"{n:032x}" for n in range(count)],
            "value": pa.array(values, pa.int64()),
            "reason": pa.array(
                ["earlier" if n in dead else None for n in range(count)], pa.string()
            ),
            "stage": pa.array(["before" if n in dead else None for n in range(count)], pa.string()),
        }
    )


@given(st.lists(st.integers(0, 99), min_size=1, max_size=30), st.data())
def test_every_row_comes_out_once_with_its_own_answer(values, data):
    dead = data.draw(st.sets(st.integers(0, len(values) - 1)))
    out = apply(state(values, dead), Double()).to_pylist()
    assert [row["value"] for row in out] == values
    for number, row in enumerate(out):
        if number in dead:
            assert (row["doubled"], row["reason"], row["stage"]) == (None, "earlier", "before")
        else:
            odd = row["value"] % 2 == 1
            assert row["doubled"] == 2 * row["value"]
            assert (row["reason"], row["stage"]) == (("odd", "double") if odd else (None, None))


class Shuffles(Double):
    def __call__(self, batch):
        return super().__call__(batch).take(pa.array(range(batch.num_rows)[::-1]))


class Forgets(Double):
    def __call__(self, batch):
        return super().__call__(batch).slice(1)


class Repeats(Double):
    def __call__(self, batch):
        return pa.concat_tables([super().__call__(batch)] * 2)


class Invents(Double):
    def __call__(self, batch):
        answer = super().__call__(batch)
        return answer.set_column(0, "key", pa.array(["f" * 32] * answer.num_rows))


class Objects(Double):
    reasons = ()


class Omits(Double):
    def __call__(self, batch):
        return super().__call__(batch).drop_columns("doubled")


def test_the_order_of_answers_does_not_matter():
    assert apply(state([1, 2, 3, 4, 5]), Shuffles()).equals(apply(state([1, 2, 3, 4, 5]), Double()))


def test_a_row_without_an_answer_is_set_aside_by_name():
    out = apply(state([2, 4, 6, 8]), Forgets())
    assert out["reason"].to_pylist() == ["no_result", None, None, "no_result"]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Repeats, "twice"),
        (Invents, "not asked about"),
        (Objects, "undeclared"),
        (Omits, "did not give"),
    ],
)
def test_a_stage_that_breaks_the_contract_is_named(stage, message):
    with pytest.raises(DataError, match=f"stage double .*{message}"):
        apply(state([1, 2, 3]), stage())


def test_a_stage_is_not_asked_about_nobody():
    out = apply(state([1, 2], dead={0, 1}), Forgets())
    assert out["doubled"].null_count == 2
    assert pc.all(pc.equal(out["reason"], "earlier")).as_py()


@given(st.lists(st.integers(0, 200), max_size=20), st.integers(1, 7))
def test_batches_are_bounded_and_leave_nothing_out(sizes, rows):
    table = pa.table({"data": pa.array([b"x" * size for size in sizes], pa.large_binary())})
    parts = list(cuts(table, rows))
    assert all(1 <= part.num_rows <= rows for part in parts)
    assert [row for part in parts for row in part["data"].to_pylist()] == table["data"].to_pylist()
