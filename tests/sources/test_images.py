"""Images at hand are planned like any table, and their bytes are found again."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse import plan
from humanverse.keys import bytes_key, url_key
from humanverse.layers.store import Store
from humanverse.plan import Plan, make_plan
from humanverse.sources import images


def tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def planned(tmp_path, source):
    store = Store(tmp_path / "root")
    make_plan(store, [source], Plan())
    rows = [row for u in plan.units(store) for row in plan.read_unit(store, u).to_pylist()]
    others = [row for _, t in plan.read_unplanned(store) for row in t.to_pylist()]
    return rows, others


def test_a_folder_of_pictures_is_keyed_by_bytes_and_keeps_captions(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"one")
    (folder / "a.txt").write_text("a caption")
    (folder / "deep" / "b.PNG").write_bytes(b"two")
    (folder / "copy.jpg").write_bytes(b"one")
    (folder / "notes.md").write_text("no picture")
    rows, others = planned(tmp_path, folder)
    assert {row["key"] for row in rows} == {bytes_key(b"one"), bytes_key(b"two")}
    assert {images.read(row["location"]) for row in rows} == {b"one", b"two"}
    assert [row["file"] for row in rows if row["caption"] == "a caption"] == ["a.jpg"]
    assert [row["reason"] for row in others] == ["duplicate"]


def test_an_img2dataset_folder_keeps_urls_and_tells_what_it_lacks(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    meta = json.dumps({"url": "http://h/1.jpg", "caption": "one", "original_width": 640})
    tar(folder / "00000.tar", {"0001.jpg": b"one", "0001.json": meta.encode(), "0001.txt": b"one"})
    table = {"key": ["0001", "0002"], "url": ["http://h/1.jpg", "http://h/2.jpg"]}
    pq.write_table(
        pa.table(table | {"status": ["success", "failed_to_download"]}), folder / "00000.parquet"
    )
    rows, others = planned(tmp_path, folder)
    assert [(row["key"], row["width_hint"]) for row in rows] == [(url_key("http://h/1.jpg"), 640)]
    assert images.read(rows[0]["location"]) == b"one"
    assert [(row["url"], row["reason"]) for row in others] == [("http://h/2.jpg", "not_at_hand")]


def test_a_webdataset_tar_gives_its_samples(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    tar(
        folder / "a.tar",
        {"x/1.jpg": b"one", "x/1.cls": b"3", "x/2.webp": b"two", "x/2.json": b"{bad"},
    )
    rows, _ = planned(tmp_path, folder)
    assert {images.read(row["location"]) for row in rows} == {b"one", b"two"}
    assert {row["source"] for row in rows} == {"webdataset"}


def test_no_picture_of_a_tar_is_passed_over_whatever_its_name(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    names = ["x.jpg", "two.dots.jpg", "two.more.jpg", ".jpg", "../up.png", "/root.webp"]
    members = {name: name.encode() for name in names}
    tar(folder / "a.tar", {"x.depth.png": b"a label"} | members)
    rows, others = planned(tmp_path, folder)
    assert {images.read(row["location"]).decode() for row in rows} == set(names)
    assert others == []


def test_parquet_with_bytes_is_read_plain_and_as_hugging_face_writes_it(tmp_path):
    plain, struct = tmp_path / "plain.parquet", tmp_path / "struct.parquet"
    pq.write_table(
        pa.table({"jpg": [b"one", b"two", None], "text": ["a", "b", "c"]}), plain, row_group_size=2
    )
    pictures = [{"bytes": b"three", "path": None}]
    pq.write_table(pa.table({"image": pictures}), struct)
    rows, others = planned(tmp_path, plain)
    assert {images.read(row["location"]): row["caption"] for row in rows} == {
        b"one": "a",
        b"two": "b",
    }
    assert [row["reason"] for row in others] == ["not_at_hand"]
    assert images.read(next(images.rows(struct))["location"]) == b"three"
