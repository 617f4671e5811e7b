"""From two sets to all figures."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from humanverse.errors import UsageError
from humanverse.evaluate import distances, features, figures
from humanverse.evaluate.cached import Gathered
from humanverse.evaluate.figures import METRICS, Evaluation, Figure
from humanverse.evaluate.gather import Part, gathered
from humanverse.evaluate.labels import LABELS, Stages, labelled
from humanverse.evaluate.sets import Chosen, PictureSet, choose, opened
from humanverse.models.torched import How

RESIZING: Final = (
    "the middle square, to size x size with OpenCV: INTER_AREA where it shrinks, INTER_LINEAR "
    "where it grows; then as each network has it"
)
AHEAD: Final = 4
"""Forward passes whose pictures are read at once: statistics take large batches faster."""


@dataclass(frozen=True)
class Asked:
    """What is to be measured, and by what."""

    real: str
    made: str
    count: int | None = None
    seed: int = 0
    side: int = 512
    metrics: tuple[str, ...] | None = None
    """All that can be had, if None."""
    inception: Path | None = None
    clip: Path | None = None
    random: bool = False
    """By a network that learned nothing, in place of Inception."""
    kid_size: int = distances.SUBSET_SIZE
    stages: Stages = field(default_factory=Stages)
    cache: Path | None = None
    how: How = field(default_factory=How)


def evaluate(asked: Asked, says: Callable[[str], None] = lambda _: None) -> Evaluation:
    """Measure what is asked for; everything is checked before the first picture is read.

    Raises:
        UsageError: a set, a metric or its weights cannot be had.
        DataError: a picture cannot be read.
    """
    for name in ("",) if asked.metrics == () else asked.metrics or ():
        if name not in METRICS:
            raise UsageError(f"no metric {name!r}: choose of {', '.join(METRICS)}")
    if asked.side < 1 or asked.kid_size < 2:
        raise UsageError("--size is 1 or more, --kid-subset 2 or more")
    real, made = opened(asked.real), opened(asked.made)
    sets = Sets(asked, real, made, choose(real, made, asked.count, asked.seed))
    named = asked.metrics or METRICS
    missing = {name: why for name in named if (why := sets.lacks(name))}
    for name, why in missing.items() if asked.metrics else ():
        raise UsageError(f"{name} cannot be measured: {why}")
    wanted = [name for name in named if name not in missing]
    found = dict(_figures(sets, wanted, says))
    return Evaluation(
        {name: found[name] for name in figures.ROWS if name in found},
        missing,
        sets.told(),
    )


@dataclass(frozen=True)
class Sets:
    """The two sets, what of them is measured, and what it takes."""

    asked: Asked
    real: PictureSet
    made: PictureSet
    chosen: Chosen

    def lacks(self, metric: str) -> str | None:
        """What a metric wants that is not there; None if it can be measured."""
        try:
            self._check(metric)
        except UsageError as error:
            return str(error)
        return None

    def parts(self, says: Callable[[str], None]) -> tuple[Part, Part]:
        """Both sets as they are looked at."""
        batch, side = AHEAD * self.asked.how.batch, self.asked.side
        return (
            Part(self.real, self.chosen.real, side, batch, says),
            Part(self.made, self.chosen.made, side, batch, says),
        )

    @cached_property
    def captions(self) -> dict[int, str]:
        """The captions of generated pictures, by their number: their own, else the real ones'."""
        sources = (self.made, self.real) if self.chosen.paired else (self.made,)
        out = dict[int, str]()
        for number, key in enumerate(self.chosen.made):
            told = (source.sample(key, ("caption",)).get("caption") for source in sources)
            if caption := next(filter(None, told), None):
                out[number] = caption
        return out

    def told(self) -> dict[str, Any]:
        """What holds for all figures."""
        real, made = self.parts(lambda _: None)
        versions = {n: importlib.metadata.version(n) for n in ("humanverse", "numpy", "torch")}
        return {
            "real": _of(self.real) | real.identity(),
            "generated": _of(self.made) | made.identity(),
            "pictures": len(self.chosen.made),
            "same_keys": self.chosen.paired,
            "seed": self.asked.seed,
            "size": self.asked.side,
            "resizing": RESIZING,
            "versions": versions,
        }

    @cached_property
    def _clip_lacks(self) -> str | None:
        try:
            features.check_clip(self.asked.clip)
        except UsageError as error:
            return str(error)
        return None

    def _check(self, metric: str) -> None:
        first = self.chosen.made[0]
        if metric in figures.BY_INCEPTION and not self.asked.random:
            features.check_inception(self.asked.inception)
        if metric in figures.BY_CLIP and self._clip_lacks:
            raise UsageError(self._clip_lacks)
        if metric == "clip" and not self.captions:
            raise UsageError("no generated picture has a caption: put {key}.txt beside it")
        if metric == "pose" and not (self.chosen.paired and self._has_poses(first)):
            raise UsageError("the real set holds no poses under the generated pictures' names")
        if metric in LABELS[1:] and metric not in self.made.sample(first, (metric,)):
            raise UsageError(f"generated pictures have no {metric} of their own beside them")
        if metric in LABELS:
            self.asked.stages.check(metric)

    def _has_poses(self, key: str) -> bool:
        return "poses" in self.real.sample(key, ("poses",))


def _of(pictures: PictureSet) -> dict[str, Any]:
    return {"place": pictures.place, "there": len(pictures.keys())}


Figures = Iterator[tuple[str, Figure]]


def _figures(sets: Sets, wanted: Collection[str], says: Callable[[str], None]) -> Figures:
    if any(name in wanted for name in figures.BY_INCEPTION):
        yield from _by_inception(sets, wanted, says)
    if any(name in wanted for name in figures.BY_CLIP):
        yield from _by_clip(sets, wanted, says)
    if labels := [name for name in LABELS if name in wanted]:
        yield from _by_labels(sets, labels, says)


def _by_inception(sets: Sets, wanted: Collection[str], says: Callable[[str], None]) -> Figures:
    asked = sets.asked
    extractor: features.Extractor = (
        features.random_features(asked.how)
        if asked.random
        else features.inception(asked.inception, asked.how)
    )
    one, other = sets.parts(says)
    kept = "kid" in wanted
    real = gathered(one, extractor, kept=kept, cache=asked.cache)
    made = gathered(other, extractor, kept=kept)
    figure = partial(_figure, extractor, compares=not asked.random)
    if kept:
        assert real.features is not None
        assert made.features is not None
        kid = distances.kid(real.features, made.features, size=asked.kid_size)
        how = f"{kid.subsets} subsets of {kid.size}" if kid.subsets > 1 else "one subset of all"
        told = {"subsets": kid.subsets, "subset_size": kid.size, "seed": distances.KID_SEED}
        spread = None if kid.deviation is None else 1000 * kid.deviation
        yield "kid_x1000", figure(1000 * kid.mean, how, told, spread)
    if "fid" in wanted:
        yield "fid", figure(*_fid(real, made))


def _by_clip(sets: Sets, wanted: Collection[str], says: Callable[[str], None]) -> Figures:
    asked = sets.asked
    assert asked.clip is not None
    extractor = features.Clip(asked.clip, asked.how)
    one, other = sets.parts(says)
    made = gathered(other, extractor, kept="cmmd" in wanted or "clip" in wanted)
    figure = partial(_figure, extractor)
    if "fid_clip" in wanted or "cmmd" in wanted:
        real = gathered(one, extractor, kept="cmmd" in wanted, cache=asked.cache)
        if "fid_clip" in wanted:
            yield "fid_clip", figure(*_fid(real, made))
        if "cmmd" in wanted:
            assert real.features is not None
            assert made.features is not None
            told = {"sigma": distances.SIGMA, "scale": distances.SCALE}
            cmmd = distances.cmmd(real.features, made.features)
            yield "cmmd", figure(cmmd, "sigma 10, x 1000", told)
    if "clip" in wanted:
        assert made.features is not None
        captions = sets.captions
        score = distances.clip_score(
            made.features[np.fromiter(captions, int)], extractor.texts(list(captions.values()))
        )
        yield "clip_score", figure(score, f"{len(captions)} captions", {"captions": len(captions)})


def _by_labels(sets: Sets, wanted: Collection[str], says: Callable[[str], None]) -> Figures:
    stages = sets.asked.stages
    found = labelled(sets.parts(says)[1], stages, wanted)
    people = stages.people.detector
    if "pose" in wanted:
        from humanverse.evaluate.accuracy import pose_scores, truth_of

        truth = truth_of(sets.real, sets.chosen.real, sets.asked.side)
        there = sum(person["num_keypoints"] > 0 for person in truth["annotations"])
        how = f"{people}, {stages.pose.model}: {there} people"
        for name, value in pose_scores(truth, found.people).items():
            yield name, Figure(value, how, stages.told("pose"))
    if "depth" in wanted:
        how = f"{stages.depth.model}: {len(found.depth)} pictures"
        yield "depth_l2", Figure(float(np.mean(found.depth)), how, stages.told("depth"))
    if "normals" in wanted:
        how = f"{stages.normals.model}: {len(found.normals)} pictures"
        squared, degrees = np.mean(found.normals, axis=0).tolist()
        yield "normals_l2", Figure(squared, how, stages.told("normals"))
        yield "normals_degrees", Figure(degrees, how, stages.told("normals"))


def _fid(real: Gathered, made: Gathered) -> tuple[float, str]:
    count, width = made.statistics.count, len(made.statistics.mean)
    # Of fewer samples a Gaussian is flat in some directions: the number stands, and means less.
    how = f"FEW: {count} of {width + 1} wanted" if count <= width else f"at {count} pictures"
    return distances.fid(real.statistics, made.statistics), how


def _figure(
    extractor: features.Extractor,
    value: float,
    how: str,
    settings: dict[str, Any] | None = None,
    deviation: float | None = None,
    compares: bool = True,
) -> Figure:
    told = {"features": extractor.name, "weights": extractor.identity} | (settings or {})
    return Figure(value, f"{extractor.name}: {how}", told, deviation, compares)
