"""The local runner opens stages in their order, and closes those that it opened."""

from dataclasses import dataclass

import pytest
from test_unit import Double

from humanverse.collect import Collect
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.plan import Unit
from humanverse.run.local import run_local
from humanverse.run.unit import Task


@dataclass
class NeverOpens(Double):
    name = "never"

    def open(self):
        raise UsageError("there is no such weight")


def test_a_stage_that_cannot_be_opened_is_told_not_one_that_was_not_reached(tmp_path):
    stages = [NeverOpens(), Collect()]
    task = Task(Unit("00-0000000", "x", 0, 1), 0, {"never": "", "collect": ""}, {}, False)
    with pytest.raises(UsageError, match="no such weight"):
        list(run_local(Store(tmp_path), [task], stages, ["never", "collect"]))
