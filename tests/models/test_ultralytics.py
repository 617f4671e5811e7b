import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from humanverse.errors import UsageError
from humanverse.models.ultralytics import UltralyticsDetector, decode, letterbox

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
    assert scale == 2
    assert corner.tolist() == [0, 50]
    assert (picture[50:150] == 7).all()
    assert (picture[:50] == 114).all()


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
