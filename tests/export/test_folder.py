"""Every export of a packed root goes on where it broke off, and takes no other's folder."""

import shutil

import pytest
from export.exporting import contents, exported

from humanverse.export.folder import MARK
from humanverse.testing.packed import encoded, pack_scenes

LAYOUTS = ("coco", "coco-wholebody", "openpose", "yolo-pose", "hf")

layouts = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture(autouse=True)
def with_hugging_face(request):
    if request.node.callspec.params.get("layout") == "hf":
        pytest.importorskip("datasets", reason="datasets is not installed")


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@layouts
def test_exported_again_nothing_is_written_and_the_bytes_are_the_same_elsewhere(
    whole, tmp_path, capsys, layout
):
    assert exported(whole.root, layout, tmp_path / "to") == 0
    told = capsys.readouterr().out
    files = len(contents(tmp_path / "to")) - 1
    assert f"in {files} files to {tmp_path / 'to'}, {files} of them written now" in told
    before = times(tmp_path / "to")
    assert exported(whole.root, layout, tmp_path / "to") == 0
    assert "8 samples" in (told := capsys.readouterr().out) and ", 0 of them written now" in told
    assert times(tmp_path / "to") == before
    assert exported(whole.root, layout, tmp_path / "other") == 0
    assert contents(tmp_path / "other") == contents(tmp_path / "to")


@layouts
def test_what_is_missing_or_cut_is_written_anew(split, tmp_path, layout, capsys):
    folder = tmp_path / "to"
    exported(split.root, layout, folder)
    good = contents(folder)
    first, *_, last = [name for name in good if name != MARK]
    (folder / first).unlink()
    (folder / last).unlink()
    lost = {first, last}
    for name in good:
        if name.endswith(".jpg") and name not in lost:
            cut = good[name][: len(good[name]) // 2]
            (folder / name).unlink()
            (folder / name).write_bytes(cut)
            lost.add(name)
            break
    capsys.readouterr()
    assert exported(split.root, layout, folder) == 0
    assert contents(folder) == good
    assert f", {len(lost)} of them written now" in capsys.readouterr().out


@layouts
def test_an_export_that_breaks_off_leaves_no_half_file_and_goes_on(whole, tmp_path, layout):
    """The tar of the last samples cannot be read: what was begun with it has no name."""
    root, folder = shutil.copytree(whole.root, tmp_path / "root"), tmp_path / "to"
    assert exported(whole.root, layout, tmp_path / "whole") == 0
    good = contents(tmp_path / "whole")
    tar = root / "shards" / "00002.tar"
    data = tar.read_bytes()
    tar.unlink()
    assert exported(root, layout, folder) == 1
    names = {name for name in contents(folder) if not name.rpartition("/")[2].startswith(".")}
    assert names < set(good) and all(good[name] == (folder / name).read_bytes() for name in names)
    tar.write_bytes(data)
    assert exported(root, layout, folder) == 0
    assert contents(folder) == good


def foreign(folder, rendered):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    return "holds notes.txt, which is not of this export"


def another_root(folder, rendered):
    pack_scenes(folder.parent / "other", [encoded(scene) for scene in rendered[:2]])
    exported(folder.parent / "other", "coco", folder)
    return "holds another export"


def another_layout(folder, rendered):
    pack_scenes(folder.parent / "other", [encoded(scene) for scene in rendered])
    exported(folder.parent / "other", "coco", folder, "--without-images")
    return "holds another export"


def a_file(folder, rendered):
    folder.write_text("mine")
    return "cannot write to"


@layouts
@pytest.mark.parametrize("place", [foreign, another_root, another_layout, a_file])
def test_a_folder_of_something_else_is_refused_in_one_line_and_stays(
    whole, rendered, tmp_path, capsys, layout, place
):
    expected = place(tmp_path / "to", rendered)
    before = contents(tmp_path)
    capsys.readouterr()
    assert exported(whole.root, layout, tmp_path / "to") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert contents(tmp_path) == before


@layouts
@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("{root}/to", "must lie apart"),
        ("{root}/..", "must lie apart"),
        ("s3://bucket/to", "a folder on this machine"),
    ],
)
def test_a_folder_in_the_root_or_elsewhere_is_refused(whole, capsys, layout, to, expected):
    before = contents(whole.root.parent)
    assert exported(whole.root, layout, to.format(root=whole.root)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line and contents(whole.root.parent) == before


@layouts
def test_a_root_without_samples_or_shards_is_refused(tmp_path, capsys, layout):
    pack_scenes(tmp_path / "root", [])
    for root, expected in (("root", "holds no samples"), ("nothing", "holds no shards")):
        assert exported(tmp_path / root, layout, tmp_path / "to") == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("layout", LAYOUTS[:-1])
def test_a_root_without_poses_is_refused(tmp_path, capsys, rendered, layout):
    fields, files = encoded(rendered[0])
    pack_scenes(tmp_path / "root", [(fields | {"keypoints": None}, files)])
    assert exported(tmp_path / "root", layout, tmp_path / "to") == 2
    assert "has no poses: run `humanverse annotate`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("hf", ["--without-images"]),
        ("img2dataset", ["--without-images"]),
        ("coco", ["--license=x"]),
    ],
)
def test_what_a_layout_does_not_know_is_refused(whole, tmp_path, capsys, layout, options):
    assert exported(whole.root, layout, tmp_path / "to", *options) == 2
    assert f"is nothing that --as {layout} knows" in capsys.readouterr().err
