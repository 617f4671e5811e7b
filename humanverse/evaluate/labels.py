"""What estimators find in generated pictures, by models and weights as a recipe names them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse import coco
from humanverse import keypoints as kp
from humanverse.annotate import depth_estimators, estimators, normal_estimators
from humanverse.annotate.depth import Depth
from humanverse.annotate.normals import Normals
from humanverse.annotate.pose import Pose
from humanverse.errors import UsageError
from humanverse.evaluate.gather import Part, batches
from humanverse.evaluate.sets import seen
from humanverse.evaluate.structure import depth_error, normal_errors
from humanverse.filter.detectors import MIN_SCORES, check_detector, make_detector
from humanverse.filter.people import People
from humanverse.load.view import Sample
from humanverse.models.base import Detections, Image
from humanverse.overrides import assigned
from humanverse.stage import settings

LABELS: Final = ("pose", "depth", "normals")


@dataclass(frozen=True)
class Stages:
    """The stages whose models look, with their settings."""

    people: People = field(default_factory=People)
    pose: Pose = field(default_factory=Pose)
    depth: Depth = field(default_factory=Depth)
    normals: Normals = field(default_factory=Normals)

    def with_assignments(self, assignments: Sequence[str]) -> Stages:
        """With `stage.field=value` set, as in a recipe.

        Raises:
            UsageError: there is no such field, or no such value.
        """
        changed = self
        for assignment in assignments:
            name, stage = assigned(vars(changed), assignment)
            changed = replace(changed, **{name: stage})
        return changed

    def check(self, label: str) -> None:
        """Refuse what cannot look for `pose`, `depth` or `normals`.

        Raises:
            UsageError: weights are missing, or settings do not go together.
        """
        people = self.people
        check_detector(people.detector, people.weights, people.trust, people.how())
        stage: Pose | Depth | Normals = getattr(self, label)
        if stage.outpainted:
            raise UsageError(f"{label}.outpainted is for building: here pictures are looked at")
        if label == "normals" and self.normals.model == "from_depth":
            raise UsageError("normals.model=from_depth looks at no picture: name another model")
        stage.check()

    def told(self, label: str) -> dict[str, Any]:
        """The settings that decide what is found, weights by their hash."""
        people = settings(self.people) | {"min_score": self.least}
        decide = ("detector", "weights", "min_score", "precision")
        return {"people": {n: people[n] for n in decide}, label: settings(getattr(self, label))}

    @property
    def least(self) -> float:
        """The score from which a box counts."""
        told = self.people.min_score
        return MIN_SCORES[self.people.detector] if told is None else told


@dataclass
class Labelled:
    """What was found, and how far depth and normals are from a sample's own."""

    people: list[dict[str, Any]] = field(default_factory=list)
    """COCO's results; `image_id` counts pictures from 0."""
    depth: list[float] = field(default_factory=list)
    """Errors of those that had a depth of their own."""
    normals: list[tuple[float, float]] = field(default_factory=list)


def labelled(part: Part, stages: Stages, wanted: Collection[str]) -> Labelled:
    """Look at every picture for what of `LABELS` is wanted.

    Raises:
        DataError: a picture cannot be read.
    """
    out, looks = Labelled(), [LOOKS[label](stages) for label in LABELS if label in wanted]
    people = stages.people
    detector = make_detector(people.detector, people.weights, people.trust, people.how())
    columns, done = ("image", *(label for label in LABELS[1:] if label in wanted)), 0
    for keys in batches(part.keys, part.batch):
        samples = [seen(part.pictures, key, columns, part.side) for key in keys]
        images = [sample["image"] for sample in samples]
        there = [_sure(found, stages.least) for found in detector.detect(images)]
        for look in looks:
            look(out, Batch(done, samples, images, there))
        done += len(keys)
        part.says(f"estimators: {done} of {len(part.keys)}")
    return out


@dataclass(frozen=True)
class Batch:
    """Some generated pictures and who is in them."""

    first: int
    samples: list[Sample]
    images: list[Image]
    people: list[Detections]

    @property
    def boxes(self) -> list[NDArray[np.float32]]:
        """(n, 4) of each picture."""
        return [found.boxes for found in self.people]


Look = Callable[[Labelled, Batch], None]


def _pose(stages: Stages) -> Look:
    stage = stages.pose
    choice = estimators.Choice(stage.model, stage.weights, stage.config, stage.expert, stage.flip)
    model = estimators.make_estimator(choice, stage.how())

    def look(out: Labelled, batch: Batch) -> None:
        found = model.estimate(batch.images, batch.boxes)
        for number, (poses, people) in enumerate(zip(found, batch.people, strict=True)):
            for pose, score in zip(poses, people.scores, strict=True):
                sure = float(score) * float(pose[kp.BODY, 2].mean())
                out.people.append(coco.result(pose, sure) | {"image_id": batch.first + number})

    return look


def _depth(stages: Stages) -> Look:
    stage = stages.depth
    choice = depth_estimators.Choice(stage.model, stage.weights, stage.kind)
    model = depth_estimators.make_estimator(choice, stage.how())

    def look(out: Labelled, batch: Batch) -> None:
        found = model.estimate(batch.images, batch.boxes)
        for sample, depth in zip(batch.samples, found, strict=True):
            if "depth" in sample:
                kinds = sample["depth_kind"], model.kind
                out.depth.append(depth_error(sample["depth"], kinds[0], depth, kinds[1]))

    return look


def _normals(stages: Stages) -> Look:
    stage = stages.normals
    choice = normal_estimators.Choice(stage.model, stage.weights, stage.fov)
    model = normal_estimators.make_estimator(choice, stage.how())
    assert model is not None

    def look(out: Labelled, batch: Batch) -> None:
        found = model.estimate(batch.images, batch.boxes)
        for sample, normals in zip(batch.samples, found, strict=True):
            if "normals" in sample:
                out.normals.append(normal_errors(sample["normals"], normals))

    return look


LOOKS: Final[dict[str, Callable[[Stages], Look]]] = {
    "pose": _pose,
    "depth": _depth,
    "normals": _normals,
}


def _sure(found: Detections, least: float) -> Detections:
    counts = found.scores >= np.float32(least)
    return Detections(found.boxes[counts], found.scores[counts])
