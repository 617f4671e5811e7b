"""Which stages share a worker, and that they fit where they are to run."""

import pytest

from humanverse.annotate import Depth, Normals, Pose
from humanverse.collect import Collect
from humanverse.errors import UsageError
from humanverse.filter import People, Quality
from humanverse.recipe import load_recipe
from humanverse.run.ray import _refuse_too_few_cpus, _refuse_too_few_gpus
from humanverse.run.work import groups


def names(stages):
    return [[stage.name for stage in group] for group in groups(stages)]


def test_neighbours_of_equal_resources_share_a_worker():
    assert names([Collect(), *People().stages(), Pose(), Depth()]) == [
        ["collect"],
        ["detect", "people", "pose", "depth"],
    ]


def test_what_only_compares_numbers_takes_no_worker_between_two_models():
    stages = [*People(gpus=1).stages(), *Quality(gpus=1).stages(), Pose(gpus=1), Depth(gpus=1)]
    assert names([Collect(), *stages]) == [["collect"], [stage.name for stage in stages]]


def test_models_of_other_shares_have_workers_of_their_own():
    stages = [Pose(gpus=0.5), Depth(gpus=0.5), Normals(gpus=0.25)]
    assert names(stages) == [["pose", "depth"], ["normals"]]


def test_the_papers_recipe_needs_one_gpu():
    stages = load_recipe("hyperhuman").stages()
    _refuse_too_few_gpus(groups(stages), {"CPU": 4, "GPU": 1})
    assert len(groups(stages)) == 2


def test_too_few_gpus_are_told_at_once_and_not_waited_for():
    pools = groups([Collect(), *People(gpus=1).stages(), Pose(), Depth(gpus=0.5)])
    with pytest.raises(UsageError, match=r"detect, people, depth want 1\.5 GPUs .* 1 are here"):
        _refuse_too_few_gpus(pools, {"CPU": 4, "GPU": 1})
    with pytest.raises(UsageError, match="0 are here"):
        _refuse_too_few_gpus(pools, {"CPU": 4})
    _refuse_too_few_gpus(pools, {"CPU": 4, "GPU": 2})


def test_a_worker_for_which_there_are_too_few_cpus_is_told_at_once_too():
    pools = groups([Collect(), *People(cpus=2).stages(), Pose()])
    _refuse_too_few_cpus(pools, {"CPU": 3})  # not all at a time, which is well
    with pytest.raises(UsageError, match=r"detect, people want 2 CPUs, and 1 are here"):
        _refuse_too_few_cpus(pools, {"CPU": 1})
