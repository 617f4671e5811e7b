"""Which nodes workers are tied to, how many fit there, and what may wait between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanverse.annotate import Depth, Pose
from humanverse.collect import Collect
from humanverse.errors import UsageError
from humanverse.filter import People
from humanverse.run.place import (
    HALF,
    MOST,
    STORE,
    Spot,
    parsed,
    pool_sizes,
    refuse_nowhere,
    spot_of,
    store_share,
)
from humanverse.run.ray import LONGEST, WAVE, wave_of
from humanverse.run.work import OVERLAP, groups

POOLS = groups([Collect(), *People().stages(), Pose(gpus=1), Depth(gpus=0.5)])
COLLECTOR, MODELS, POSE, DEPTH = POOLS


def node(cpus=0, gpus=0, memory=0, **own):
    return {"CPU": cpus, "GPU": gpus, STORE: memory, **own}


@given(st.lists(st.integers(1, 5000), min_size=4, max_size=4))
def test_a_wave_outlasts_what_workers_have_in_hand_and_the_driver_s_patience(sizes):
    units = wave_of(POOLS, sizes)
    in_hand = OVERLAP * sizes[0] + sum(sizes[1:])
    assert WAVE <= units <= LONGEST
    assert units in (WAVE, LONGEST, 20 * in_hand)


def test_workers_are_placed_by_what_they_ask_for():
    place = parsed(["network=web", "gpu=cards", "model=cores"])
    assert [spot_of(pool, place)[0] for pool in POOLS] == ["web", "cores", "cards", "cards"]
    all_but_one = [spot_of(pool, parsed(["model=m"])) for pool in POOLS]
    assert all_but_one == [None, *[Spot("m")] * 3]
    assert [spot_of(pool, {}) for pool in POOLS] == [None] * 4


@pytest.mark.parametrize(
    "word",
    [
        "web",
        "network=",
        "=web",
        "disk=web",
        "network=CPU",
        "network=web:",
        "network=web:x",
        "network=web:0",
        "",
    ],
)
def test_a_placement_that_says_nothing_is_refused(word):
    with pytest.raises(UsageError, match="say KIND=RESOURCE"):
        parsed([word])


def test_a_resource_that_no_node_has_is_told_at_once_and_not_waited_for():
    nodes, place = [node(4), node(4, web=1)], parsed(["network=web"])
    refuse_nowhere(POOLS, nodes, place)
    with pytest.raises(UsageError, match=r"""collect are .* web, .* --resources='\{"web": 1\}'"""):
        refuse_nowhere(POOLS, nodes[:1], place)


def test_pools_grow_to_what_their_own_nodes_hold():
    nodes = [node(1), *[node(8, web=1)] * 3, *[node(16, gpus=4, cards=1)] * 2]
    place = parsed(["network=web", "gpu=cards", "model=web"])
    # Collectors and models on CPUs share 24 CPUs; pose and depth 8 GPUs.
    assert pool_sizes([COLLECTOR, MODELS], nodes, place) == [23, 23]
    assert pool_sizes([POSE, DEPTH], nodes, place) == [8, 16]
    assert pool_sizes([POSE, DEPTH], nodes, {}) == [8, 16]


def test_a_pool_for_which_nodes_will_come_grows_to_what_was_said():
    place = parsed(["network=web:40", "gpu=cards:3"])
    assert pool_sizes([COLLECTOR, POSE], [node(1)], place) == [40, 3]
    refuse_nowhere([COLLECTOR, POSE], [node(1)], place)


@given(
    st.lists(st.builds(node, st.integers(0, 64), st.integers(0, 8), web=st.booleans()), max_size=6),
    st.sampled_from([{}, parsed(["network=web"]), parsed(["network=web", "model=web"])]),
)
def test_every_pool_has_a_worker_and_none_more_than_fit(nodes, place):
    sizes = pool_sizes(POOLS, nodes, place)
    assert all(1 <= size <= MOST for size in sizes)
    for pool, size in zip(POOLS, sizes, strict=True):
        spot, wants = spot_of(pool, place), pool[0].resources
        mine = [n for n in nodes if not spot or n[spot.resource]]
        cpus, gpus = (sum(n[name] for n in mine) for name in ("CPU", "GPU"))
        assert size == 1 or (size * wants.cpus <= cpus and size * wants.gpus <= gpus)


def test_what_waits_fits_where_it_lies():
    nodes = [node(1, memory=30), node(8, memory=10, web=1), node(16, memory=160)]
    assert store_share(POOLS, nodes, {}) == HALF
    # Half of what the collector's node has: 5 of 200.
    assert store_share([COLLECTOR, MODELS], nodes, parsed(["network=web"])) == pytest.approx(
        5 / 200
    )
    assert store_share([MODELS], nodes, {}) == HALF  # nothing waits
    assert store_share(POOLS, [], {}) == HALF


def test_a_placement_is_for_a_cluster(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    from humanverse.run import ray as runner

    with pytest.raises(UsageError, match="--place is for a cluster"):
        runner._refuse_what_cannot_run(None, POOLS, parsed(["network=web"]), shared=False)
