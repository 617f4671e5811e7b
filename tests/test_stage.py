"""A chain of stages is checked before work starts, and its fingerprints follow what matters."""

from dataclasses import dataclass, replace

import pyarrow as pa
import pytest

from humanverse import schema
from humanverse.collect import Collect
from humanverse.errors import UsageError
from humanverse.filter import People
from humanverse.stage import BaseStage, check_chain, fingerprints, upstream_of
from humanverse.testing.stages import HashDetect, HashLabels


@dataclass
class Brightness(BaseStage):
    name = "brightness"
    reads = ("image",)
    writes = pa.schema({"brightness": pa.float32()})
    floor: float = 0.1


def chain(collect=None, people=None, brightness=None):
    people = People(detector="yolox") if people is None else people
    return [collect or Collect(), *people.stages(), brightness or Brightness(), HashLabels()]


def test_a_sound_chain_passes():
    check_chain(chain(), schema.PLAN)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([HashDetect()], "reads phash, width, height, which no stage before it writes"),
        ([Collect(), Collect()], "two stages are called collect"),
        (
            [Collect(), Brightness(), type("Other", (Brightness,), {"name": "b"})()],
            "an earlier stage writes",
        ),
        ([Collect(), type("Odd", (Brightness,), {"reasons": ("dull",)})()], "unknown reasons dull"),
    ],
)
def test_a_broken_chain_is_refused_with_the_reason(stages, message):
    with pytest.raises(UsageError, match=message):
        check_chain(stages, schema.PLAN)


def test_what_a_setting_changes_is_itself_and_what_stands_on_it():
    before = fingerprints(chain())
    after = fingerprints(chain(people=People(detector="yolox", min_area=0.2)))
    assert {name for name in before if before[name] != after[name]} == {
        "people",
        "brightness",
        "labels",
    }
    after = fingerprints(chain(brightness=Brightness(floor=0.2)))
    assert {name for name in before if before[name] != after[name]} == {"brightness"}


def test_settings_of_how_to_work_change_nothing():
    before = fingerprints(chain())
    hurried = replace(Collect(), timeout=1.0, connections=2, allow_hosts=("localhost",))
    assert fingerprints(chain(collect=hurried)) == before


def test_upstream_are_the_writers_of_what_is_read_and_all_who_reject():
    stages = chain()
    names = [stage.name for stage in stages]
    assert upstream_of(stages, names.index("brightness")) == ("collect", "people")
    assert upstream_of(stages, names.index("labels")) == ("collect", "detect", "people")


@pytest.mark.parametrize(
    ("written", "message"),
    [({"stage": pa.string()}, "name is taken"), ({"mask": pa.binary()}, "JSON cannot hold")],
)
def test_columns_that_a_sample_cannot_hold_are_refused_before_the_run(written, message):
    class Odd(BaseStage):
        name, reads, writes = "odd", (), pa.schema(written)

    with pytest.raises(UsageError, match=message):
        check_chain([Odd()], [])
