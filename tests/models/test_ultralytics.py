import io
import os
import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from models.odd import odd_pictures
from PIL import Image, UnidentifiedImageError
from shared import needs_ultralytics

from humanverse.errors import UsageError
from humanverse.models.onnx import onnx_session
from humanverse.models.torched import How
from humanverse.models.ultralytics import UltralyticsDetector, letterbox
from humanverse.models.ultralytics_heads import chosen_instances, decode_instances

CPU = How(device="cpu", batch=2)
PLANTED = ((20, 300, 2), (10, 90, 2), (0, 1, 3))
"""Least, most and rows of random centres, sizes and scores of three classes."""

CHECKPOINT = """
import os, sys
import numpy as np
from humanverse.models.ultralytics import UltralyticsDetector, _isolate
_isolate()
from ultralytics import YOLO
from ultralytics.utils import checks, events, ONLINE, SETTINGS_FILE
path = sys.argv[1] + "/small.pt"
YOLO("yolo11n.yaml", task="detect").save(path)
found, = UltralyticsDetector(path, trusted=True).detect([np.zeros((64, 96, 3), np.uint8)])
assert found.boxes.shape == (len(found.scores), 4)
assert not (events.events.enabled or ONLINE or checks.AUTOINSTALL)
assert str(SETTINGS_FILE).startswith(os.environ["HUMANVERSE_CACHE"])
"""


def decode(raw, size, least):
    """Boxes and scores of one raw output without masks."""
    return decode_instances(raw, size, least, 0)[:2]


def test_a_pickle_is_refused_unless_it_is_trusted(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="trust it"):
        UltralyticsDetector(path)


def test_a_missing_file_is_never_looked_for_elsewhere(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        UltralyticsDetector(tmp_path / "yolo11n.onnx")


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="neither"):
        UltralyticsDetector(tmp_path / "model.engine")


def test_boxes_in_pixels_and_in_fractions_are_decoded_alike():
    raw = np.zeros((6, 50), np.float32)
    raw[:, 3] = [100, 60, 40, 20, 0.9, 0.1]
    raw[:, 7] = [10, 10, 4, 4, 0.1, 0.9]
    boxes, scores = decode(raw, (128, 256), least=0.5)
    assert boxes == pytest.approx(np.array([[80, 50, 120, 70]]))
    assert scores == pytest.approx([0.9])
    raw[:4] /= np.array([[256], [128], [256], [128]])
    assert decode(raw, (128, 256), least=0.5)[0] == pytest.approx(boxes, abs=1e-3)


def test_a_head_without_suppression_is_decoded():
    raw = np.zeros((300, 6), np.float32)
    raw[0] = [1, 2, 30, 40, 0.8, 0]
    raw[1] = [1, 2, 30, 40, 0.7, 5]
    boxes, scores = decode(raw, (128, 128), least=0.5)
    assert boxes.tolist() == [[1, 2, 30, 40]]
    assert scores == pytest.approx([0.8])


def test_the_image_lies_in_the_middle_of_a_grey_picture():
    picture, scale, corner = letterbox(np.full((50, 100, 3), 7, np.uint8), (200, 200))
    assert scale.tolist() == [2, 2]
    assert corner.tolist() == [0, 50]
    assert (picture[50:150] == 7).all()
    assert (picture[:50] == 114).all()


def test_a_box_that_is_rather_of_another_class_is_no_person():
    raw = np.zeros((6, 2), np.float32)
    raw[:, 0] = [50, 50, 20, 20, 0.6, 0.7]
    raw[:, 1] = [100, 50, 20, 20, 0.6, 0.5]
    assert decode(raw, (128, 128), least=0.5)[0].tolist() == [[90, 40, 110, 60]]


@pytest.mark.parametrize("seed", range(4))
def test_batches_are_decoded_on_the_device_as_images_are_one_by_one(seed):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(seed)
    raw = np.concatenate(
        [
            rng.uniform(20, 300, (5, 2, 900)),
            rng.uniform(10, 90, (5, 2, 900)),
            rng.random((5, 3, 900)),
        ],
        axis=1,
    ).astype(np.float32)
    raw[1, 4] = 0  # nobody
    boxes, scores = chosen_instances(torch.from_numpy(raw), 0.4, 0)[:2]
    for one, found, likely in zip(raw, boxes.numpy(), scores.numpy(), strict=True):
        expected, expected_scores = decode(one, (320, 320), 0.4)
        assert np.array_equal(likely[likely > 0], expected_scores)
        assert np.allclose(found[likely > 0], expected)


def small_checkpoint(folder, kind):
    """A detector of the package's own making, at 160 pixels, with seeded weights that see much."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    needs_ultralytics()
    from ultralytics import YOLO

    torch.manual_seed(0)
    made = YOLO(f"{kind}.yaml", task="detect")
    head = made.model.model[-1]
    with torch.no_grad():
        for module in made.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        for name in ("cv2", "cv3", "one2one_cv2", "one2one_cv3"):
            for branch in getattr(head, name, None) or ():
                branch[-1].weight.normal_(0, 0.3)
                if name.endswith("cv3"):
                    branch[-1].weight.normal_(0, 0.3)
                    branch[-1].bias.fill_(-9)
                    branch[-1].bias[0] = -2.94  # the threshold, so that half of them count
    made.ckpt["train_args"] = {"imgsz": 160}
    path = folder / f"{kind}.pt"
    made.save(path)
    return path


def pictures_of_some_size():
    """Odd pictures under noise: no two places of them look alike."""
    rng = np.random.default_rng(0)
    return [
        cv2.add(image // 2, rng.integers(0, 128, image.shape, dtype=np.uint8))
        for image in odd_pictures()
        if min(image.shape[:2]) > 1
    ]


def test_pillow_says_of_what_is_no_image_what_it_says_without_the_package():
    needs_ultralytics()
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"no image"))


@pytest.mark.parametrize("kind", ["yolo11n", "yolo26n"])
def test_people_of_a_checkpoint_are_those_of_predict(tmp_path, kind):
    path = small_checkpoint(tmp_path, kind)
    images = pictures_of_some_size()
    found = UltralyticsDetector(path, trusted=True, how=CPU).detect(images)
    from ultralytics import YOLO

    package = YOLO(str(path), task="detect")
    assert 5 < sum(len(people.scores) for people in found) < 300 * len(images)
    for image, people in zip(images, found, strict=True):
        (expected,) = package.predict(
            np.ascontiguousarray(image[..., ::-1]),
            **{"conf": 0.05, "classes": [0], "imgsz": 160, "rect": True},
            end2end=kind == "yolo26n",
            **{"device": "cpu", "verbose": False, "save": False},
        )
        assert np.allclose(people.scores, expected.boxes.conf, atol=1e-3)
        apart = np.abs(people.boxes[:, None] - expected.boxes.xyxy.numpy()).max(axis=-1)
        assert (apart.min(axis=0, initial=1000) < 0.1).all(), "in any order: scores may be equal"


def test_the_head_places_boxes_exactly_though_the_network_reckons_in_bf16(tmp_path):
    path = small_checkpoint(tmp_path, "yolo26n")
    (image, *_) = pictures_of_some_size()
    torch = pytest.importorskip("torch")
    boxes = []
    for precision in ("fp32", "bf16"):
        detector = UltralyticsDetector(path, True, how=How(device="cpu", precision=precision))
        pixels = np.stack([letterbox(image, detector._network.shape_of(image))[0]])
        with torch.inference_mode():
            boxes.append(detector._network._step(pixels)[0].numpy())
    # Random boxes hang together less than trained ones: their grid shows what bf16 would round to.
    assert (boxes[1] != np.float32(torch.tensor(boxes[1]).bfloat16().float())).mean() > 0.5


def test_an_export_of_any_batch_is_run_in_batches(tmp_path):
    path = exported(tmp_path, batch="n")
    images = pictures_of_some_size()
    batched = UltralyticsDetector(path, how=CPU)
    single = UltralyticsDetector(path, how=How(device="cpu", batch=1))
    for image, people in zip(images, batched.detect(images), strict=True):
        (alone,) = single.detect([image])
        assert len(people.scores)
        assert np.allclose(people.boxes, alone.boxes, atol=1e-3)


def test_an_export_of_a_fixed_batch_is_filled_up(tmp_path):
    images = pictures_of_some_size()
    for batch in (1, 3):
        detector = UltralyticsDetector(exported(tmp_path, batch=batch), how=CPU)
        assert len(detector.detect(images)) == len(images)


def test_an_export_of_any_size_is_run_at_the_one_it_tells(tmp_path):
    path = exported(tmp_path, batch="n", size=("h", "w"), told="[64, 96]")
    assert UltralyticsDetector(path)._network.size == (64, 96)
    with pytest.raises(UsageError, match="does not tell"):
        UltralyticsDetector(exported(tmp_path, batch="n", size=("h", "w")))


def test_an_export_is_not_asked_to_run_on_a_gpu(tmp_path):
    path = exported(tmp_path, batch=1)
    with pytest.raises(UsageError, match=r"take the \.pt"):
        UltralyticsDetector(path, how=How(device="cuda"))


def exported(folder, batch, size=(64, 96), told=None):
    """An export whose one box is as sure as its picture is bright: a mean, and constants."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import TensorProto, helper

    box = helper.make_tensor("box", TensorProto.FLOAT, (1, 4, 1), [48, 32, 20, 30])
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last"], ["score"]),
        helper.make_node("Shape", ["score"], ["shape"]),
        helper.make_node("Expand", ["box", "shape"], ["boxes"]),
        helper.make_node("Concat", ["boxes", "score"], ["output"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (batch, 3, *size))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, (batch, 5, 1))],
        [box, helper.make_tensor("last", TensorProto.INT64, (1,), [3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if told is not None:
        model.metadata_props.add(key="imgsz", value=told)
    path = folder / f"bright-{batch}-{told is None}.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.slow
def test_a_trusted_checkpoint_runs_and_the_package_stays_at_home(tmp_path):
    """In a process of its own, because the package keeps what it read at its first import."""
    if find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    environment = os.environ | {"HUMANVERSE_CACHE": str(tmp_path)}
    environment.pop("YOLO_CONFIG_DIR", None)
    command = [sys.executable, "-c", CHECKPOINT, str(tmp_path)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.real
@pytest.mark.parametrize("name", ["yolo11n_640_person_int8", "yolo26n_320_person_int8"])
def test_real_exports_find_the_two_men(real, zidane, name):
    (found,) = UltralyticsDetector(real / "weights" / f"{name}.onnx").detect([zidane])
    strong = found.boxes[found.scores > 0.5]
    assert len(strong) >= 2
    assert (strong[:2, 3] > 500).all()


@pytest.mark.real
@pytest.mark.parametrize("name", ["yolo11n_640_person_int8", "yolo26n_320_person_int8"])
def test_real_exports_give_what_the_packages_own_steps_give(real, name):
    """Their boxes are fractions of the input, which the package's `predict` takes for pixels."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    needs_ultralytics()
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import scale_boxes

    path = real / "weights" / f"{name}.onnx"
    session, size = onnx_session(path), int(name.split("_")[1])
    photos = sorted((real / "photos" / "coco_mini").glob("*.jpg"))[:24]
    images = [cv2.imread(str(photo))[..., ::-1] for photo in photos]
    for image, people in zip(images, UltralyticsDetector(path).detect(images), strict=True):
        boxed = LetterBox((size, size), auto=False)(image=np.ascontiguousarray(image))
        tensor = boxed.transpose(2, 0, 1)[None].astype(np.float32) / 255
        raw = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: tensor})[0])
        if raw.shape[-1] == 6:
            raw[..., :4] *= size if raw[..., :4].max() <= 2 else 1
        else:
            raw[:, :4] *= size
        (expected,) = non_max_suppression(raw, 0.05, 0.7, classes=[0])
        boxes = scale_boxes((size, size), expected[:, :4], image.shape)
        assert np.allclose(people.scores, expected[:, 4], atol=1e-3)
        assert np.allclose(people.boxes, boxes, atol=1)
