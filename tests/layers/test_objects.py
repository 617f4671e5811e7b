"""A root in an object store is as good as one in a folder, also while the store stumbles."""

import threading

import pyarrow as pa
import pytest
from shared import HERE, url_table

import humanverse
from humanverse.cli import main
from humanverse.errors import UsageError
from humanverse.layers.failpoints import Armed
from humanverse.layers.store import Store
from humanverse.layers.verify import sweep, verify
from humanverse.testing.chaos import Job, contents, fail, run
from humanverse.testing.objects import Fault, bucket

RECIPE = HERE / "recipes" / "made_up.py"

# moto and flask, in a thread of their own here, are not ours to keep tidy.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def s3():
    with pytest.MonkeyPatch.context() as patch, bucket(patch.setenv) as made:
        yield made


@pytest.fixture
def calm(s3):
    s3.stumbles([])
    yield s3
    s3.stumbles([])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return url_table(tmp_path_factory.mktemp("table"), 7)


@pytest.fixture(scope="module")
def undisturbed(table, tmp_path_factory):
    job = Job(RECIPE, (table,), str(tmp_path_factory.mktemp("undisturbed")))
    run(job)
    return contents(job.root)


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, calm):
    made = Store(tmp_path if request.param == "folder" else calm.url(tmp_path.name))
    made.prepare()
    return made


def test_what_is_put_is_read_whole_in_parts_and_as_a_table(store):
    data = bytes(range(256)) * 100
    store.replace("a/b.bin", data)
    assert store.read("a/b.bin") == data
    assert store.read_range("a/b.bin", 250, 260) == data[250:260]
    assert store.read_range("a/b.bin", len(data) - 3, len(data) + 9) == data[-3:]
    assert (store.exists("a/b.bin"), store.exists("a/c.bin"), store.exists("a")) == (
        True,
        False,
        store.folder is not None,
    )
    assert store.size("a/b.bin") == len(data)
    with store.open("a/b.bin") as f:
        f.seek(-10, 2)
        assert f.read() == data[-10:]
        f.seek(5)
        assert f.read(10) == data[5:15]
    table = pa.table({"x": list(range(1000))})
    store.replace_table("t.parquet", table, row_group_size=100)
    assert store.read_table("t.parquet", ["x"]).equals(table)


def test_names_are_of_a_folder_alone_and_what_is_gone_is_a_missing_file(store):
    for name in ("a/1", "a/2", "a/b/3", "c/4"):
        store.replace(name, b"x")
    assert sorted(set(store.names("a")) - {"b"}) == ["1", "2"]
    assert store.names("nowhere") == []
    store.remove("a/1")
    store.remove("a/1")
    for ask in (store.read, store.size, store.open, store.sha256):
        with pytest.raises(FileNotFoundError):
            ask("a/1")
    with pytest.raises(FileNotFoundError):
        store.read_range("a/1", 0, 1)


def test_an_attempt_without_a_name_leaves_nothing(store):
    with store.attempt("a") as attempt:
        attempt.file.write(b"half")
    assert store.names("a") == []
    assert store.attempts() == []


def test_of_many_who_create_one_name_one_wins_and_all_are_told(store):
    barrier, won = threading.Barrier(8), []

    def create(number):
        barrier.wait()
        if store.create("commits/one", f"writer {number}".encode()):
            won.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert store.read("commits/one") == f"writer {winner}".encode()
    assert store.create("commits/one", f"writer {winner}".encode())
    assert not store.create("commits/one", b"another")


@pytest.mark.parametrize("kind", ["refused", "failed", "lost"])
@pytest.mark.parametrize("act", ["create", "replace", "read", "remove"])
def test_an_act_whose_request_fails_or_whose_answer_is_lost_is_done_once(calm, kind, act):
    store = Store(calm.url(f"{kind}-{act}"))
    store.replace("there", b"1")
    method = {"read": "GET", "remove": "POST"}.get(act, "PUT")
    calm.stumbles([Fault(method, 1, kind), Fault(method, 2, kind)])
    if act == "create":
        assert store.create("new", b"2")
        assert not store.create("new", b"3")
        assert store.read("new") == b"2"
    elif act == "replace":
        store.replace("there", b"2")
        assert store.read("there") == b"2"
    elif act == "read":
        assert store.read("there") == b"1"
    else:
        store.remove("there")
        assert not store.exists("there")
    assert calm.hit


def test_a_build_in_a_bucket_makes_what_one_in_a_folder_makes(calm, table, undisturbed):
    root = calm.url("whole")
    run(Job(RECIPE, (table,), root))
    assert contents(root) == undisturbed
    assert verify(Store(root)) == []
    assert sweep(Store(root)) == []
    asked = calm.seen.total()
    run(Job(RECIPE, (table,), root))
    assert calm.seen.total() - asked < asked / 2
    with humanverse.open(root, columns=["caption", "depth", "poses"]) as ds:
        samples = [ds[n] for n in range(len(ds))]
    assert samples
    assert all(sample["poses"].shape[1:] == (133, 3) for sample in samples)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["refused", "failed", "lost"])
def test_a_build_goes_on_while_its_store_stumbles(calm, table, undisturbed, kind):
    calm.stumbles([Fault("PUT", number, kind) for number in range(3, 40, 5)])
    root = calm.url(f"stumbling-{kind}")
    run(Job(RECIPE, (table,), root))
    assert len(calm.hit) >= 5
    assert contents(root) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("point", ["created", "layers"])
def test_failing_around_any_commit_changes_nothing_in_the_end(calm, table, undisturbed, point):
    number = 1
    job = Job(RECIPE, (table,), calm.url(f"{point}-1"))
    while fail(job, Armed(point, number, "raise")):
        run(job)
        assert contents(job.root) == undisturbed, number
        number += 1
        job = Job(RECIPE, (table,), calm.url(f"{point}-{number}"))
    assert number > 2


@pytest.mark.slow
def test_a_killed_build_is_gone_on_with(calm, table, undisturbed):
    job = Job(RECIPE, (table,), calm.url("killed"))
    for number in (4, 9, 14):
        assert fail(job, Armed("named", number, "kill"))
    run(job)
    assert contents(job.root) == undisturbed


def test_two_drivers_at_once_do_no_harm(calm, table, undisturbed):
    job = Job(RECIPE, (table,), calm.url("two"))
    errors = []

    def drive():
        try:
            run(job)
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=drive) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run(job)
    assert contents(job.root) == undisturbed
    assert verify(Store(job.root)) == []
    assert not errors


def test_a_store_that_overwrites_what_it_was_told_not_to_is_refused(calm, monkeypatch):
    import obstore

    monkeypatch.setattr(obstore, "put", lambda *_, **__: None)
    with pytest.raises(UsageError, match="overwrites where it was told not to"):
        Store(calm.url("x")).prepare()


@pytest.mark.parametrize(
    ("root", "wanted"),
    [
        ("s3://nowhere/x", "nowhere"),
        ("ftp://host/x", "begins with s3://"),
        ("s3:///x", "begins with s3://"),
    ],
)
def test_a_root_that_cannot_be_is_one_line(calm, table, capsys, root, wanted):
    assert main(["build", str(RECIPE), "--input", str(table), "--out", root]) == 2
    assert wanted in capsys.readouterr().err
