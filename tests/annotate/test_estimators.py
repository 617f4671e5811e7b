from importlib.util import find_spec
from pathlib import Path

import pytest

from humanverse.annotate import Pose
from humanverse.errors import UsageError
from humanverse.stage import Resources, fingerprints

RTMW = "rtmw-l_8xb320-270e_cocktail14-384x288"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"weights": "some"}, "pose.weights is not for"),
        ({"flip": True}, "pose.flip is not for"),
        ({"model": "vitpose", "config": "some"}, "pose.config is not for"),
        ({"model": "mmpose", "expert": 5}, "pose.expert is not for"),
        ({"model": "mmpose"}, "needs a config and a checkpoint"),
        ({"model": "mmpose", "config": RTMW, "weights": "gone.pth"}, "no checkpoint"),
        ({"model": "mmpose", "config": "rtmw-q", "weights": "some"}, "no config"),
        ({"model": "vitpose"}, "needs a folder"),
        ({"model": "vitpose", "weights": "gone"}, "has no config.json"),
        ({"device": "cuda"}, "runs on the CPU"),
        ({"device": "gpu"}, "none of auto"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, fields, told):
    if fields.get("model") == "mmpose" and find_spec("mmpose") is None:
        pytest.skip("mmpose is not installed")
    (tmp_path / "some").write_bytes(b"")
    fields = {name: tmp_path / v if name == "weights" else v for name, v in fields.items()}
    if "config" in fields:
        fields["config"] = Path(fields["config"])
    with pytest.raises(UsageError, match=told) as refused:
        Pose(**fields).check()
    assert "\n" not in str(refused.value)


def test_a_config_may_be_named():
    if find_spec("mmpose") is None:
        pytest.skip("mmpose is not installed")
    assert Pose(model="mmpose", config=Path(RTMW)).config.is_file()


def test_a_gpu_is_asked_for_by_a_setting_alone():
    assert Pose().resources == Resources(cpus=1, gpus=0)
    assert Pose(gpus=1).resources.gpus == 1


def test_where_it_runs_is_outside_its_fingerprint_and_what_it_looks_for_is_not():
    assert fingerprints([Pose(device="cuda", batch=64, gpus=1)]) == fingerprints([Pose()])
    assert fingerprints([Pose(model="vitpose", flip=True)]) != fingerprints([Pose(model="vitpose")])
