"""What is decided on a set of samples does not depend on how they lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.select import cosine
from humanverse.select.choose import ALONE, Rows, choose, split_of
from humanverse.select.clusters import components, stars
from humanverse.select.hamming import distinct

SHARES = {"train": 0.5, "validation": 0.2, "test": 0.3}
DISTANCE = 4


def made(number, seed, generations=2, kinds=12):
    """Rows of few motifs, so that many are alike: at distances of 0 to some bits."""
    random = np.random.default_rng(seed)
    motifs = random.integers(0, 1 << 64, kinds, dtype=np.uint64)
    motifs[0] = np.uint64(1 << 63)  # flat
    phash = motifs[random.integers(0, kinds, number)]
    for _ in range(3):
        some = random.random(number) < 0.3
        phash[some] ^= np.uint64(1) << random.integers(0, 64, int(some.sum()), dtype=np.uint64)
    return Rows(
        keys=random.integers(0, 1 << 64, (number, 2), dtype=np.uint64),
        generation=np.sort(random.integers(0, generations, number)).astype(np.int32),
        pixels=random.integers(1, 4, number),
        original=random.integers(1, 3, number),
        phash=phash,
        sha256=random.integers(0, 5, number).astype(np.uint64),
    )


def taken(rows, places):
    names = [name for name in Rows.__slots__ if getattr(rows, name) is not None]
    return Rows(**{name: getattr(rows, name)[places] for name in names})


def decided(rows, benchmarks=(), distance=DISTANCE, **changes):
    told = {"max_distance": distance, "min_cosine": 0.9, "shares": SHARES}
    told |= {"benchmarks": distinct(np.array(benchmarks, np.uint64)), "max_benchmark_distance": 2}
    return choose(rows, **told | changes)


def by_key(rows, choice):
    """The decision on each key, in terms of keys."""

    def name(place):
        return None if place == ALONE else tuple(rows.keys[place].tolist())

    return {
        name(n): (name(choice.cluster[n]), name(choice.duplicate_of[n]), *map(int, rest))
        for n, rest in enumerate(zip(choice.benchmark, choice.split, strict=True))
    }


rows_of = st.builds(made, number=st.integers(1, 60), seed=st.integers(0, 10_000))


@settings(max_examples=25, deadline=None)
@given(rows=rows_of, seed=st.integers(0, 1000))
def test_the_order_of_rows_decides_nothing(rows, seed):
    order = np.random.default_rng(seed).permutation(len(rows.keys))
    shuffled = taken(rows, order)
    theirs = rows.phash[: len(rows.keys) // 4]
    assert by_key(rows, decided(rows, theirs)) == by_key(shuffled, decided(shuffled, theirs))


@settings(max_examples=25, deadline=None)
@given(rows=rows_of)
def test_no_two_that_stay_are_alike_and_each_that_goes_is_like_the_one_that_stays(rows):
    choice = decided(rows)
    stays = choice.duplicate_of == ALONE
    apart = np.bitwise_count(rows.phash[:, None] ^ rows.phash)
    flat = np.bitwise_count(rows.phash) < 16
    alike = (apart <= DISTANCE) & ~flat[:, None] & ~flat
    alike |= flat[:, None] & flat & (rows.sha256[:, None] == rows.sha256)
    assert not np.triu(alike & stays & stays[:, None], 1).any()
    gone = np.flatnonzero(~stays)
    assert alike[gone, choice.duplicate_of[gone]].all()
    assert stays[choice.duplicate_of[gone]].all()
    same = choice.cluster == choice.cluster[:, None]
    assert same[np.triu(alike, 1)].all()


@settings(max_examples=25, deadline=None)
@given(rows=rows_of)
def test_a_cluster_is_in_one_split_and_called_after_one_of_its_own(rows):
    choice = decided(rows)
    for name in set(choice.cluster.tolist()) - {ALONE}:
        members = choice.cluster == name
        assert members[name] and members.sum() > 1
        assert len(set(choice.split[members].tolist())) == 1


@settings(max_examples=25, deadline=None)
@given(rows=rows_of)
def test_the_largest_picture_of_the_earliest_generation_stays(rows):
    choice = decided(rows)
    for gone in np.flatnonzero(choice.duplicate_of != ALONE):
        stays = choice.duplicate_of[gone]
        rank = [
            (rows.generation[n], -rows.pixels[n], -rows.original[n], *rows.keys[n].tolist())
            for n in (stays, gone)
        ]
        assert rank[0] < rank[1]


@settings(max_examples=25, deadline=None)
@given(rows=rows_of)
def test_a_later_generation_changes_nothing_for_the_earlier_one_but_joins_clusters(rows):
    first = taken(rows, np.flatnonzero(rows.generation == 0))
    before, after = decided(first), decided(rows)
    count = len(first.keys)
    assert np.array_equal(before.duplicate_of, after.duplicate_of[:count])
    moved = np.flatnonzero(before.split != after.split[:count])
    own = np.arange(count)
    former = np.where(before.cluster == ALONE, own, before.cluster)
    for row in moved:  # its cluster was joined with one that comes first
        merged = after.cluster[:count] == after.cluster[row]
        assert len(set(former[merged].tolist())) > 1


def test_adding_rows_one_by_one_moves_hardly_any_to_another_split():
    rows = made(3000, 1, generations=50, kinds=600)
    before = decided(taken(rows, np.flatnonzero(rows.generation < 25)))
    after = decided(rows)
    count = len(before.split)
    assert (before.split != after.split[:count]).mean() < 0.02


def test_shares_are_kept_and_keys_alone_decide_a_split():
    low = np.random.default_rng(0).integers(0, 1 << 64, 200_000, dtype=np.uint64)
    split = split_of(low, SHARES)
    assert np.allclose(np.bincount(split) / len(low), list(SHARES.values()), atol=0.005)
    assert split_of(np.array([0, (1 << 64) - 1], np.uint64), SHARES).tolist() == [0, 2]


def test_flat_pictures_are_duplicates_only_if_their_bytes_are_the_same():
    rows = made(4, 0)
    rows.phash[:] = np.uint64(1 << 63)
    rows.sha256[:] = [7, 8, 7, 9]
    choice = decided(rows)
    assert (choice.duplicate_of != ALONE).sum() == 1
    assert choice.cluster[0] == choice.cluster[2] != ALONE
    assert choice.cluster[1] == choice.cluster[3] == ALONE


def test_what_looks_like_a_benchmark_goes_with_all_that_it_stands_for():
    rows = made(4, 0, generations=1)
    base = 0x0F0F0F0F0F0F0F0F
    rows.phash[:] = [base, base ^ 0b1111, base ^ 0b11, ~base & (1 << 64) - 1]
    rows.pixels[:] = [9, 1, 1, 1]
    choice = decided(rows, [base ^ 0b11111])  # within 2 of the second and 3 of the third alone
    assert choice.benchmark.tolist() == [0, 0, 0, ALONE]
    assert decided(rows, [base ^ 0xFFFF]).benchmark.tolist() == [ALONE] * 4


def test_millions_of_equal_hashes_are_one_cluster_at_once():
    count = 1_000_000
    random = np.random.default_rng(0)
    rows = Rows(
        keys=random.integers(0, 1 << 64, (count, 2), dtype=np.uint64),
        generation=np.zeros(count, np.int32),
        pixels=np.ones(count, np.int64),
        original=np.ones(count, np.int64),
        phash=np.full(count, 0x0F0F0F0F0F0F0F0F, np.uint64),
        sha256=np.zeros(count, np.uint64),
    )
    choice = decided(rows)
    assert (choice.duplicate_of == ALONE).sum() == 1
    assert len(set(choice.cluster[:10].tolist())) == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_embeddings_that_point_the_same_way_are_near_duplicates(seed):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(40, 16)).astype(np.float32)
    vectors[20:] = vectors[:20] + random.normal(size=(20, 16)).astype(np.float32) * 0.05
    vectors[:3] = vectors[20:23]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = taken(made(40, seed), np.arange(40))
    rows = Rows(**{n: getattr(rows, n) for n in Rows.__slots__[:-1]}, embedding=vectors)
    order = random.permutation(40)
    choice = decided(rows)
    assert by_key(rows, choice) == by_key(taken(rows, order), decided(taken(rows, order)))
    assert (choice.cluster[:20] == choice.cluster[20:]).all()
    assert (choice.duplicate_of != ALONE).sum() == 20


def test_of_many_embeddings_nearly_all_pairs_are_found_in_cells(monkeypatch):
    monkeypatch.setattr(cosine, "ALL_WITH_ALL", 100)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(1000, 32)).astype(np.float32)
    copies = vectors + random.normal(size=vectors.shape).astype(np.float32) * 0.1
    vectors = np.concatenate([vectors, copies])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = random.integers(0, 1 << 64, 2000, dtype=np.uint64)
    node, pairs = cosine.pairs_alike(vectors, order, 0.97)
    found = set(map(tuple, pairs.tolist()))
    near = (vectors[:1000] * vectors[1000:]).sum(1) >= 0.97
    wanted = [tuple(sorted(p)) for p in zip(node[:1000], node[1000:], strict=True)]
    hits = [pair in found for pair, alike in zip(wanted, near, strict=True) if alike]
    assert len(hits) > 900
    assert np.mean(hits) > 0.95


@pytest.mark.parametrize("number", [0, 1])
def test_none_and_one_are_no_cluster(number):
    rows = taken(made(3, 0), np.arange(number))
    assert decided(rows).cluster.tolist() == [ALONE] * number


def test_a_chain_hangs_together_but_only_neighbours_go():
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
    assert components(6, pairs).tolist() == [0, 0, 0, 0, 0, 5]
    assert stars(np.array([0, 1, 2, 3, 4, 5]), pairs).tolist() == [0, 0, 2, 2, 4, 5]
    assert stars(np.array([5, 4, 0, 1, 2, 3]), pairs).tolist() == [0, 2, 2, 2, 4, 5]
