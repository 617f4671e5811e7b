"""Labels that are made on a wider canvas are the picture's own: cut to it, at its size."""

import tarfile

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import HERE

import humanverse
from humanverse.annotate import Depth, Outpaint
from humanverse.annotate.canvas import Frame, cut_keypoints, cut_map
from humanverse.codec import decode_depth, decode_jpeg, encode_jpeg
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.models.lite import LiteDepth
from humanverse.run.build import Settings, build
from humanverse.stage import check_chain
from humanverse.testing.scenes import render

BOXES = pa.list_(pa.list_(pa.float32(), 4))


def pictured(*sizes):
    images = [render(n, *size, people=1).image for n, size in enumerate(sizes)]
    columns = {
        "key": [f"{n:032x}" for n in range(len(images))],
        "image": [encode_jpeg(image, 95) for image in images],
        "caption": [None] * len(images),
        "width": [image.shape[1] for image in images],
        "height": [image.shape[0] for image in images],
        "person_boxes": pa.array([[]] * len(images), BOXES),
    }
    return pa.table(columns)


def widened(batch, **fields):
    stage = Outpaint(**fields)
    stage.open()
    made = stage(batch.select(["key", *stage.reads]))
    for name in made.column_names[1:]:
        batch = batch.append_column(name, made[name])
    return batch


def test_the_canvas_has_its_margin_on_every_side():
    batch = widened(pictured((100, 60), (48, 64)), margin=0.5)
    for row in batch.to_pylist():
        canvas = decode_jpeg(row["canvas"])
        assert (row["canvas_left"], row["canvas_top"]) == (row["width"] // 2, row["height"] // 2)
        assert canvas.shape == (2 * row["height"], 2 * row["width"], 3)
        inside = cut_map(canvas, frame_of(row))
        apart = np.abs(inside.astype(int) - decode_jpeg(row["image"]))
        assert apart.mean() < 2  # it was encoded once more


def frame_of(row):
    return Frame(*(row[name] for name in ("canvas_left", "canvas_top", "width", "height")))


def test_depth_is_that_of_the_canvas_inside_the_frame():
    batch = widened(pictured((100, 60), (48, 64), (64, 64)))
    stage = Depth(outpainted=True, batch=2)
    stage.open()
    found = stage(batch.select(["key", *stage.reads])).to_pylist()
    for row, label in zip(batch.to_pylist(), found, strict=True):
        (whole,) = LiteDepth().estimate(
            [decode_jpeg(row["canvas"])], [np.empty((0, 4), np.float32)]
        )
        depth = decode_depth(label["depth_png"], label["depth_scale"], label["depth_offset"])
        assert depth.shape == (row["height"], row["width"])
        assert np.abs(depth - cut_map(whole, frame_of(row))).max() <= label["depth_scale"]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 60), st.integers(1, 60))
def test_keypoints_outside_the_frame_are_not_found(left, top, width, height):
    points = np.random.default_rng(0).uniform(0, 100, (2, 133, 3)).astype(np.float32)
    found = cut_keypoints(points, Frame(left, top, width, height))
    assert np.allclose(found[..., :2], points[..., :2] - [left, top])
    inside = (found[..., 0] >= 0) & (found[..., 0] <= width)
    inside &= (found[..., 1] >= 0) & (found[..., 1] <= height)
    assert (found[..., 2] == np.where(inside, points[..., 2], 0)).all()


def test_a_build_keeps_the_canvas_in_its_layer_and_out_of_the_shards(tmp_path):
    (tmp_path / "photos").mkdir()
    for n in range(5):
        image = render(n, 120, 90, people=1).image
        cv2.imwrite(str(tmp_path / "photos" / f"{n}.png"), image[..., ::-1])
    root = tmp_path / "root"
    recipe = HERE / "recipes" / "outpainted.py"
    build(recipe, [tmp_path / "photos"], root, settings=Settings("local"))
    assert verify(Store(root)) == []
    with humanverse.open(root) as dataset:
        assert len(dataset) == 5
        for sample in dataset:
            assert sample["depth"].shape == sample["image"].shape[:2] == (90, 120)
            assert not [name for name in sample["meta"] if "canvas" in name]
    packed = {name.partition(".")[2] for tar in root.glob("shards/*.tar") for name in names(tar)}
    assert packed == {"jpg", "txt", "json", "depth.png", "normal.png"}
    kept = {name.partition(".")[2] for tar in root.glob("outpaint/*.tar") for name in names(tar)}
    assert kept == {"canvas.jpg"}


def names(tar):
    with tarfile.open(tar) as opened:
        return opened.getnames()


def test_who_looks_at_a_canvas_needs_somebody_who_makes_it():
    given = ("image", "caption", "width", "height", "person_boxes")
    check_chain([Outpaint(), Depth(outpainted=True)], given)
    with pytest.raises(UsageError, match="depth reads canvas, canvas_left, canvas_top, which no"):
        check_chain([Depth(outpainted=True)], given)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"margin": 0.0}, "a share above 0"),
        ({"margin": 3.0}, "of 1 at most"),
        ({"weights": "some"}, "not for outpaint.model=reflect"),
        ({"model": "inpainting"}, "needs a folder"),
    ],
)
def test_what_cannot_work_is_refused(fields, told):
    with pytest.raises(UsageError, match=told):
        Outpaint(**fields).check()


def test_a_batch_of_none_is_refused_before_a_network_is_opened():
    with pytest.raises(UsageError, match="a batch of 0"):
        Outpaint(batch=0).check()
