"""A table is the same input in a bucket as in a folder, and is fetched once."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import url_table

from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.plan import Plan, input_at, make_plan, units
from humanverse.plan.remote import Remote
from humanverse.testing.objects import bucket

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def s3():
    with pytest.MonkeyPatch.context() as patch, bucket(patch.setenv) as made:
        yield made


@pytest.fixture
def there(s3, tmp_path):
    """A folder of the bucket with three tables and what is none."""
    store = Store(s3.url(tmp_path.name))
    store.replace("in/a.parquet", url_table(tmp_path, 30).read_bytes())
    store.replace("in/b.csv", b"url,text\nhttp://localhost/b.jpg,b\n")
    store.replace("in/c.jsonl.gz", gzip.compress(b'{"url": "http://localhost/c.jpg"}\n'))
    store.replace("in/readme.md", b"# tables")
    store.replace("in/deeper/d.csv", b"url\nhttp://localhost/d.jpg\n")
    return f"{store.root}/in/"


def test_a_table_in_a_bucket_gives_the_plan_that_a_copy_of_it_gives(there, tmp_path):
    near, far = Store(tmp_path / "near"), Store(tmp_path / "far")
    copy = tmp_path / "a.parquet"
    copy.write_bytes((tmp_path / "urls.parquet").read_bytes())
    local = make_plan(near, [input_at(copy)], Plan(unit_rows=7))
    assert make_plan(far, [input_at(f"{there}a.parquet")], Plan(unit_rows=7)) == local
    assert list(units(far)) == list(units(near))
    assert make_plan(far, [copy], Plan(unit_rows=7)) is None  # that is the same table


def test_a_folder_of_a_bucket_is_its_tables(there, tmp_path):
    made = make_plan(Store(tmp_path / "root"), [input_at(there)], Plan())
    assert [name.partition("@")[0] for name in made["inputs"]] == [
        "a.parquet",
        "b.csv",
        "c.jsonl.gz",
    ]
    assert (made["rows"], made["online"]) == (32, True)


def test_what_is_planned_is_not_fetched_again(there, s3, tmp_path):
    store, table = Store(tmp_path / "root"), input_at(f"{there}a.parquet")
    make_plan(store, [table], Plan())
    s3.stumbles([])  # counts anew
    assert make_plan(store, [table], Plan()) is None
    assert s3.seen["GET"] == 1  # its first bytes


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("z.parquet", "no such input: s3://"),
        ("readme.md", "no table there"),
        ("nothing/", "no table there"),
    ],
)
def test_what_is_no_table_is_refused_before_anything_is_written(there, tmp_path, name, told):
    with pytest.raises(UsageError, match=told):
        make_plan(Store(tmp_path / "root"), [input_at(there + name)], Plan())
    assert not (tmp_path / "root").exists()


def test_a_table_with_pictures_must_be_local(there, tmp_path, s3):
    path = tmp_path / "pictures.parquet"
    pq.write_table(pa.table({"image": [b"x"]}), path)
    Store(there[:-1]).replace("pictures.parquet", path.read_bytes())
    with pytest.raises(UsageError, match="holds pictures"):
        make_plan(Store(tmp_path / "root"), [input_at(f"{there}pictures.parquet")], Plan())


def test_the_hub_is_not_asked_where_nobody_is(monkeypatch):
    monkeypatch.setenv("HUMANVERSE_OFFLINE", "1")
    with pytest.raises(UsageError, match="the hub is not asked"):
        Remote("hf://datasets/owner/name/a.parquet").digest()


def test_an_address_is_told_from_a_path(tmp_path):
    assert input_at(str(tmp_path)) == tmp_path
    assert input_at("gs://b/t.csv") == Remote("gs://b/t.csv")
