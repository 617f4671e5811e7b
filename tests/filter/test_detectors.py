import dataclasses

import pytest

from humanverse.errors import UsageError
from humanverse.filter import People
from humanverse.filter.detectors import MIN_SCORES, Detector
from humanverse.stage import Resources, fingerprints, settings


def detect(**fields):
    return People(**fields).stages()[0]


def test_every_detector_has_a_score_from_which_its_boxes_count():
    assert set(MIN_SCORES) == set(Detector.__args__)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"detector": "ultralytics"}, "needs a file"),
        ({"detector": "ultralytics", "weights": "a.pt"}, "trust it"),
        ({"detector": "ultralytics", "weights": "gone.pt"}, "no file"),
        ({"detector": "rfdetr"}, "needs a folder"),
        ({"detector": "dfine", "weights": "empty"}, "has no config.json"),
        ({"device": "cuda"}, "runs on the CPU"),
        ({"device": "tpu"}, "none of auto"),
        ({"batch": 0}, "1 or more"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path, fields, told):
    (tmp_path / "a.pt").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    if "weights" in fields:
        fields = fields | {"weights": tmp_path / fields["weights"]}
    with pytest.raises(UsageError, match=told) as refused:
        detect(**fields).check()
    assert "\n" not in str(refused.value)


def test_a_gpu_is_asked_for_by_a_setting_alone():
    assert detect().resources == Resources(cpus=1, gpus=0)
    assert detect(gpus=0.5).resources.gpus == 0.5


def test_where_it_runs_is_outside_its_fingerprint_and_what_it_reckons_in_is_not():
    there = detect(device="cuda", batch=64, gpus=1, trust=True)
    assert fingerprints([there]) == fingerprints([detect()])
    assert fingerprints([detect(precision="bf16")]) != fingerprints([detect()])


def test_a_folder_of_weights_counts_with_every_file_in_it(tmp_path):
    for name in ("config.json", "parts/model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")

    def now():
        return settings(detect(detector="rfdetr", weights=tmp_path))["weights"]

    first = now()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "log").write_text("a tool's own")
    assert now() == first
    (tmp_path / "parts/model.safetensors").write_text("2")
    second = now()
    assert second != first
    (tmp_path / "parts/model.safetensors").rename(tmp_path / "model.safetensors")
    assert now() not in (first, second)


def test_settings_reach_the_stage_that_uses_them():
    group = People(detector="yolox", precision="fp32", device="cpu", batch=4, gpus=1, trust=True)
    stage = group.stages()[0]
    for field in dataclasses.fields(stage):
        if field.init:
            assert getattr(stage, field.name) == getattr(group, field.name)
