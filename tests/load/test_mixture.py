"""Sources put together: every sample in its turn, the same for whoever reads from wherever."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanverse.errors import UsageError
from humanverse.load.mixture import concat, mix
from humanverse.load.samples import Samples
from humanverse.load.view import View


class Named(Samples):
    """Samples that are nothing but their names."""

    def __init__(self, name, count):
        self.name, self.count = name, count

    def __len__(self):
        return self.count

    def key(self, number):
        return f"{self.name}{number}"

    def look(self, number, choose=None, _=None):
        return {"key": self.key(number), "view": choose((4, 6)) if choose else None}

    def sizes(self):
        return np.stack([np.arange(self.count), np.ones(self.count, int)], axis=1)

    def fingerprint(self):
        return f"{self.name}:{self.count}"


PARTS = st.lists(
    st.tuples(st.integers(1, 300), st.fractions(Fraction(1, 3), 3)), min_size=1, max_size=4
)


def sources(sizes):
    return [Named(name, size) for name, size in zip("abcd", sizes, strict=False)]


def mixture(parts, samples=None):
    names = sources(size for size, _ in parts)
    total = sum(map(len, names)) if samples is None else samples
    return mix(dict(zip(names, [float(w) for _, w in parts], strict=True)), max(total, 30))


def epoch_of(samples, epoch, seed=0):
    view = samples.at_epoch(seed, epoch)
    return [view.key(number) for number in range(len(view))]


def plain(keys):
    """Whose sample it is, whatever pass it came in."""
    return [key.partition("/")[2].partition("+")[0] for key in keys]


@given(PARTS, st.integers(30, 500))
def test_an_epoch_has_as_many_samples_as_were_asked_for_in_the_shares_of_the_weights(
    parts, samples
):
    made = mixture(parts, samples)
    keys = epoch_of(made, 0)
    assert len(keys) == len(made) == samples
    counts = Counter(key[0] for key in plain(keys))
    total = sum(weight for _, weight in parts)
    for name, (_, weight) in zip("abcd", parts, strict=False):
        assert abs(counts[name] - samples * weight / total) < 1 + 1e-6


@given(PARTS, st.integers(30, 200), st.integers(1, 6), st.integers(0, 3))
def test_no_sample_comes_again_before_all_others_of_its_part_have_come(
    parts, samples, epochs, seed
):
    made = mixture(parts, samples)
    seen = Counter()
    for epoch in range(epochs):
        seen.update(plain(epoch_of(made, epoch, seed)))
    for part in made.parts:
        times = [seen[part.key(number)] for number in range(len(part))]
        assert max(times) - min(times) <= 1


@given(PARTS, st.integers(30, 400), st.integers(0, 5))
def test_keys_of_an_epoch_are_each_ones_own(parts, samples, epoch):
    keys = epoch_of(mixture(parts, samples), epoch)
    assert len(set(keys)) == len(keys)


@given(PARTS, st.integers(0, 5), st.integers(0, 5))
def test_what_stands_where_follows_from_seed_epoch_and_number(parts, seed, epoch):
    whole = epoch_of(mixture(parts), epoch, seed)
    view = mixture(parts).at_epoch(seed, epoch)
    assert [view.key(number) for number in reversed(range(len(view)))] == whole[::-1]


def test_parts_weighing_what_they_hold_come_whole_each_epoch_and_in_another_order():
    made = mix(dict(zip(sources([130, 70]), [130, 70], strict=True)))
    first, second = plain(epoch_of(made, 0)), plain(epoch_of(made, 1))
    assert first != second
    assert sorted(first) == sorted(second) == sorted(plain(epoch_of(concat(*made.parts), 0)))
    assert plain(epoch_of(made, 0, seed=1)) != first


def test_parts_of_one_size_are_not_drawn_alike():
    a, b = sources([640, 640])
    keys = plain(epoch_of(mix({a: 1, b: 1}), 0))
    assert [key[1:] for key in keys[:640]] != [key[1:] for key in keys[640:]]


def test_neighbours_of_an_epoch_lie_near_each_other_in_their_part():
    made = mix({Named("a", 100_000): 1}, samples=6400)
    numbers = [int(key[1:]) for key in plain(epoch_of(made, 3))]
    assert len({number // 64 for number in numbers}) <= 6400 // 64 + 2


def test_a_part_that_is_a_mixture_itself_goes_through_its_own_passes():
    a, b, c = sources([10, 30, 20])
    inner = mix({a: 1, b: 1}, samples=20)
    outer = mix({inner: 1, c: 1}, samples=40)
    seen = Counter()
    for epoch in range(3):
        keys = epoch_of(outer, epoch)
        assert len(set(keys)) == 40
        seen.update(key.partition("/")[2].partition("+")[0].rpartition("/")[2] for key in keys)
    assert {seen[b.key(number)] for number in range(30)} == {1}
    assert {seen[a.key(number)] for number in range(10)} == {3}


def batches(samples, **how):
    return [batch["key"] for batch in samples.loader(12, workers=2, **how)]


@settings(max_examples=25)
@given(PARTS, st.sampled_from([1, 2, 3]), st.integers(0, 3), st.integers(0, 2))
def test_a_loader_goes_on_in_a_mixture_with_other_ranks_where_it_stopped(parts, world, stop, epoch):
    made = mixture(parts, 60)
    whole = batches(made, seed=4, epoch=epoch)
    assert sorted(sum(whole, [])) == sorted(epoch_of(made, epoch, 4))  # noqa: RUF017
    first = made.loader(12, seed=4, epoch=epoch, workers=1)
    reading = iter(first)
    before = [next(reading)["key"] for _ in range(stop)]
    reading.close()
    ranks = [made.loader(12, seed=4, rank=rank, world=world) for rank in range(world)]
    for rank in ranks:
        rank.load_state_dict(first.state_dict())
    parts_of = zip(*([batch["key"] for batch in rank] for rank in ranks), strict=True)
    assert before + [sum(part, []) for part in parts_of] == whole  # noqa: RUF017


def test_what_is_put_together_comes_in_turn_and_says_which_part_it_is_of():
    both = concat(*sources([3, 0, 2]))
    assert len(both) == 5
    assert epoch_of(both, 7) == ["0/a0", "0/a1", "0/a2", "2/c0", "2/c1"]
    assert both[-1] == {"key": "2/c1", "part": 2, "view": None}
    assert both.__getitems__([4, 0, -2]) == [both[4], both[0], both[3]]
    view = View(0, 0, 6, 4, (2, 2))
    assert both.look(1, lambda _: view)["view"] == view
    with pytest.raises(IndexError, match="sample 5 of 5"):
        both[5]


def test_sizes_are_known_of_what_is_put_together_but_not_of_what_is_drawn():
    a, b = sources([2, 1])
    assert concat(a, b).sizes().tolist() == [[0, 1], [1, 1], [0, 1]]
    with pytest.raises(UsageError, match="Mixture does not know"):
        mix({a: 1, b: 1}).sizes()


def test_several_at_once_are_what_each_is_alone():
    view = mix(dict(zip(sources([5, 40]), [1, 1], strict=True)), 60).at_epoch(1, 2)
    numbers = [59, 3, 31, 0, 30, -1]
    assert view.__getitems__(numbers) == [view[number] for number in numbers]
    assert len({sample["key"] for sample in view.__getitems__(numbers)}) == 5


def test_other_parts_orders_and_shares_have_other_fingerprints():
    a, b = sources([5, 5])
    made = [concat(a, b), concat(b, a), concat(a), mix({a: 1, b: 1}), mix({a: 3, b: 2})]
    marks = [samples.fingerprint() for samples in made]
    assert len(set(marks)) == len(marks)
    assert mix({a: 2, b: 2}).fingerprint() == marks[3]
    assert mix({a: 1, b: 1}).at_epoch(3, 4).fingerprint() == marks[3]


@pytest.mark.parametrize(
    ("weights", "samples", "told"),
    [
        ([1, 0], None, "part 1 of a mixture weighs 0"),
        ([1, float("nan")], None, "weighs nan"),
        ([float("inf"), 1], None, "part 0 of a mixture weighs inf"),
        ([], None, "mixture of nothing"),
        ([1, 1], 0, "epoch of 0 samples"),
        ([999, 1], 100, "part 1 weighs too little to give a sample of an epoch of 100"),
        ([1, 1, 1], None, "part 2 of a mixture has no samples"),
    ],
)
def test_mixtures_that_cannot_be_are_refused(weights, samples, told):
    names = sources([5, 5, 0][: len(weights)])
    with pytest.raises(UsageError, match=told):
        mix(dict(zip(names, weights, strict=True)), samples)
