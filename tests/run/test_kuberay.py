"""The RayJob is one by KubeRay's own definition, and says what placement says."""

import json
import os
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from shared import HERE

from humanverse.cli import make_parser
from humanverse.recipe import load_recipe
from humanverse.run.place import parsed, spot_of
from humanverse.run.work import groups

yaml = pytest.importorskip("yaml")
FOLDER = HERE.parent / "pipelines" / "cluster"
REAL = Path(os.environ.get("HUMANVERSE_REAL", HERE.parent.parent / "shared" / "real"))
DEFINITION = REAL.parent / "kuberay" / "ray.io_rayjobs.yaml"


@pytest.fixture
def job():
    return yaml.safe_load((FOLDER / "rayjob.yaml").read_text())


@pytest.fixture
def command(job):
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "humanverse"]
    return make_parser().parse_args(words[3:])


def groups_of(job):
    """What the nodes of each group offer, by the group's name."""
    groups = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    # The operator puts it into a shell's command line, which takes the outer quotes away.
    told = {g["groupName"]: shlex.split(g["rayStartParams"]["resources"])[0] for g in groups}
    return {name: json.loads(text) for name, text in told.items()}


def closed(schema):
    """The same, refusing what it does not name: an API server drops that without a word."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(part) for name, part in schema.items()}
    if isinstance(made.get("properties"), dict) and "type" in made:
        made.setdefault("additionalProperties", False)
    if made.pop("x-kubernetes-int-or-string", False):
        made |= {"type": ["integer", "string"]}
        made.pop("anyOf", None)
    return made


@pytest.mark.real
@pytest.mark.skipif(
    not DEFINITION.is_file(), reason="no definition of a RayJob beside the checkout"
)
@pytest.mark.skipif(find_spec("jsonschema") is None, reason="jsonschema is not installed")
def test_the_job_is_valid_by_kuberays_definition(job):
    import jsonschema

    versions = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"]
    schema = next(v for v in versions if job["apiVersion"] == f"ray.io/{v['name']}")
    schema = closed(schema["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(job)] == []
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["minReplica"] = 1
    assert len(list(validator.iter_errors(job))) == 1  # it is looked at


def test_every_stage_has_nodes_that_offer_what_its_workers_are_tied_to(job, command):
    place, offered = parsed(command.place), groups_of(job)
    pools = groups(load_recipe(command.recipe).stages())
    wanted = {spot_of(pool, place).resource for pool in pools}
    assert wanted == {name for offers in offered.values() for name in offers}
    assert offered == {"collectors": {"collector_node": 1}, "annotators": {"annotator_node": 1}}


def test_groups_that_may_grow_are_no_bound_below_what_workers_may(job, command):
    sizes = {g["groupName"]: g for g in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]}
    for spot in parsed(command.place).values():
        group = next(name for name, offers in groups_of(job).items() if spot.resource in offers)
        assert sizes[group]["minReplicas"] <= sizes[group]["replicas"] <= spot.workers
        assert sizes[group]["maxReplicas"] <= spot.workers


def test_everything_secret_is_only_named_and_strangers_are_kept_out(job):
    text = json.dumps(job)
    assert "secretKeyRef" in text or "secretRef" in text
    assert not any(word in text for word in ("AWS_SECRET", "AKIA", '"value":'))
    assert job["spec"]["rayClusterSpec"]["authOptions"]["mode"] == "token"


def test_the_image_is_locked_and_runs_as_nobody_special():
    text = Path(FOLDER / "Containerfile").read_text()
    assert text.count("--require-hashes") == 2
    assert [line for line in text.splitlines() if line.startswith("USER")] == ["USER 1000"]
    for name in ("requirements.lock", "requirements-uv.lock"):
        assert (HERE.parent / name).is_file()
        assert name in text
