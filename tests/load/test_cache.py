"""What comes from afar is kept on disk, within bounds, and read from there."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import humanverse
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.load import cache as module
from humanverse.load.cache import Content, DiskCache
from humanverse.testing.objects import bucket
from humanverse.testing.packed import encoded, pack_scenes
from humanverse.testing.scenes import render

BLOCK = 1000

# moto and flask, in a thread of their own here, are not ours to keep tidy.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Afar:
    """A file of 66 blocks, and how often it was asked for something."""

    gap = 0
    data = bytes(range(251)) * 263

    def __init__(self):
        self.asked = []

    def read(self, name, start, stop):
        self.asked.append((name, start))
        return self.data[start:stop]

    def close(self):
        pass


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", BLOCK)


def cached(folder, afar, limit=1 << 20):
    content = {"a.tar": Content("a" * 64, len(afar.data))}
    return DiskCache(afar, folder, limit, content)


def held(folder):
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 66_000), st.integers(0, 5_000)), max_size=12))
def test_any_bytes_are_those_of_the_file_and_no_block_is_fetched_twice(tmp_path, small, parts):
    folder = tmp_path / "cache"
    shutil.rmtree(folder, ignore_errors=True)
    afar = Afar()
    near = cached(folder, afar)
    for start, length in parts:
        assert near.read("a.tar", start, start + length) == afar.data[start : start + length]
    assert len(afar.asked) == len(set(afar.asked))
    again = Afar()
    for start, length in parts:
        cached(folder, again).read("a.tar", start, start + length)
    assert again.asked == []


def test_the_folder_stays_within_its_limit_and_what_was_read_last_stays_longest(tmp_path, small):
    afar, limit = Afar(), 64 * BLOCK
    near = cached(tmp_path, afar, limit)
    near.read("a.tar", 0, 10)
    os.utime(tmp_path / f"{'a' * 32}.0", (1, 1))
    other = DiskCache(afar, tmp_path, limit, {"b.tar": Content("b" * 64, len(afar.data))})
    for number in range(66):
        other.read("b.tar", number * BLOCK, number * BLOCK + 1)
        assert held(tmp_path) <= limit + 0.06 * limit
    assert not (tmp_path / f"{'a' * 32}.0").exists()
    count = len(afar.asked)
    near.read("a.tar", 0, 10)
    assert len(afar.asked) == count + 1


def test_a_block_that_is_not_whole_is_fetched_again(tmp_path, small):
    afar = Afar()
    near = cached(tmp_path, afar)
    near.read("a.tar", 0, 10)
    os.truncate(tmp_path / f"{'a' * 32}.0", 5)
    assert near.read("a.tar", 0, 10) == afar.data[:10]
    assert len(afar.asked) == 2


def test_threads_that_need_a_block_at_once_have_it_fetched_once(tmp_path, small):
    afar = Afar()
    several = [cached(tmp_path, afar) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        read = [pool.submit(several[i % 4].read, "a.tar", 10, 5_500) for i in range(64)]
        assert {one.result() for one in read} == {afar.data[10:5_500]}
    assert len(afar.asked) == 6


def test_files_of_unknown_content_are_not_kept(tmp_path, small):
    afar = Afar()
    near = cached(tmp_path, afar)
    assert near.read("b.tar", 3, 9) == afar.data[3:9]
    assert held(tmp_path) == 0


def test_a_cache_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot cache in"):
        cached(tmp_path / "file", Afar(), 1 << 40)
    with pytest.raises(UsageError, match="or more do"):
        cached(tmp_path, Afar(), 5)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The same shards in a folder and in a bucket."""
    folder = tmp_path_factory.mktemp("roots")
    pack_scenes(folder, [encoded(render(seed, 80, 64, people=1)) for seed in range(6)], 4)
    with pytest.MonkeyPatch.context() as patch, bucket(patch.setenv) as made:
        store = Store(made.url("root"))
        for path in (folder / "shards").iterdir():
            store.replace(f"shards/{path.name}", path.read_bytes())
        yield folder, made


def same(a, b):
    return all(
        x.keys() == y.keys() and all((x[n] == y[n]).all() for n in ("image", "depth", "normals"))
        for x, y in zip(a, b, strict=True)
    )


def test_a_bucket_is_read_like_a_folder_a_request_a_sample(roots):
    folder, made = roots
    with humanverse.open(folder) as here, humanverse.open(made.url("root")) as there:
        before = made.seen["GET"]
        assert same(here, there)
        assert made.seen["GET"] - before == len(here)
        assert here.fingerprint() == there.fingerprint()


def test_a_second_epoch_asks_the_bucket_for_nothing(roots, tmp_path):
    folder, made = roots
    with humanverse.open(folder) as here:
        for _ in range(2):
            with humanverse.open(made.url("root"), cache=tmp_path) as there:
                before = made.seen["GET"]
                batches = [batch["key"] for batch in there.loader(2, last="keep")]
                assert same(here, there)
                assert len(batches) == 3
        # A look at the list of shards is all that opening asked for.
        assert made.seen["GET"] == before
