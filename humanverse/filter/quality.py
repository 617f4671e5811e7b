"""The quality of a picture: a stage measures what it has weights for, a cheap one decides.

Where no weights are at hand, a score is that of the table which the row came from; where this has
none, it is not known, which is no reason to reject unless a recipe says so.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from humanverse import schema
from humanverse.filter.scorers import (
    Aesthetic,
    Choice,
    Measured,
    Scorer,
    check_scorer,
    make_scorer,
)
from humanverse.inference import Inference, NetworkSettings
from humanverse.models.clip import TOWER, Library
from humanverse.stage import RIDES_ALONG, BaseStage, Resources, Stage

Unknown = Literal["keep", "reject"]
Part = TypeVar("Part", "ScoreQuality", "ChooseQuality")

TABLE = {
    "aesthetic": "aesthetic_hint",
    "nsfw_score": "punsafe",
    "watermark_score": "pwatermark",
    "text_similarity": "similarity",
}
"""Each score, and the column of a table that stands in for it."""


@dataclass
class ScoreQuality(Inference):
    """Writes the scores of every picture, of rejected ones too, and its embedding if asked."""

    name: ClassVar[str] = "score"
    reasons: ClassVar[tuple[str, ...]] = ()

    clip: Path | None = None
    library: Library = "timm"
    tower: str = TOWER
    aesthetic: Aesthetic = "v2"
    aesthetic_head: Path | None = None
    nsfw_head: Path | None = None
    embedding: bool = False
    _scorer: Scorer | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]  # here a setting decides
        """What a table says and, where CLIP is at hand, the picture and its caption."""
        return (*TABLE.values(), *(("image", "caption") if self.clip else ()))

    @property
    def writes(self) -> pa.Schema:
        """The scores, and the embedding if asked."""
        return schema.writes(*schema.QUALITY, *(schema.EMBEDDING if self.embedding else ()))

    def check(self) -> None:
        """Refuse weights that are none, or do not belong together."""
        self.how()
        check_scorer(self._choice())

    def notes(self) -> tuple[str, ...]:
        """What is not measured for want of weights."""
        if self.clip is None:
            what, whose = "CLIP", "aesthetic, NSFW and similarity scores are"
        elif self.nsfw_head is None:
            what, whose = "NSFW head", "the NSFW score is"
        else:
            return ()
        setting = "quality.clip" if self.clip is None else "quality.nsfw_head"
        return (
            f"no {what} at hand ({setting}): {whose} the table's, and where it has none unknown, "
            "which rejects nothing unless quality.unknown=reject",
        )

    def open(self) -> None:
        """Load CLIP and its heads."""
        self._scorer = make_scorer(self._choice(), self.how())

    def _choice(self) -> Choice:
        return Choice(
            self.clip,
            self.library,
            self.tower,
            self.aesthetic,
            self.aesthetic_head,
            self.nsfw_head,
            self.embedding,
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The scores of each picture."""
        columns = {name: _number_or_null(batch[hint]) for name, hint in TABLE.items()}
        if self._scorer is not None:
            embed, width = self._scorer.images.embed, self._scorer.images.width
            found = self.over_pictures(batch, lambda images, _: list(embed(images)), np.asarray)
            embeddings = np.array(found, np.float32).reshape(-1, width)
            measured = self._scorer.measure(embeddings, batch["caption"].to_pylist())
            columns |= _measured_columns(measured)
            if self.embedding:
                columns["embedding"] = _halves(embeddings)
        return pa.table({"key": batch["key"]} | columns).select(["key", *self.writes.names])


def _measured_columns(measured: Measured) -> dict[str, pa.Array]:
    """What was measured, as columns; null where the number is none."""
    found = {
        "aesthetic": measured.aesthetic,
        "nsfw_score": measured.nsfw,
        "text_similarity": measured.similarity,
    }
    return {
        name: pa.array(values, pa.float32(), mask=~np.isfinite(values))
        for name, values in found.items()
        if values is not None
    }


def _number_or_null(column: Any) -> Any:
    return pc.if_else(pc.is_finite(column), column, None).cast(pa.float32())


def _halves(embeddings: NDArray[np.float32]) -> pa.Array:
    """Embeddings (n, width) as lists of 16-bit numbers: a cosine moves by less than 0.001."""
    count, width = embeddings.shape
    flat = pa.array(embeddings.astype(np.float16).ravel())
    places = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    lost = pa.array(~np.isfinite(embeddings).all(axis=1))
    return pa.ListArray.from_arrays(places, flat, mask=lost)


@dataclass
class ChooseQuality(BaseStage):
    """Decides by the scores, however they came about."""

    name: ClassVar[str] = "quality"
    reads: ClassVar[tuple[str, ...]] = (*schema.QUALITY, "nsfw")
    writes: ClassVar[pa.Schema] = pa.schema([])
    reasons: ClassVar[tuple[str, ...]] = (
        *("unsafe", "watermark", "low_aesthetic", "caption_mismatch", "score_unknown"),
    )
    resources: ClassVar[Resources] = RIDES_ALONG
    batch_rows: ClassVar[int] = 10_000

    min_aesthetic: float | None = 4.5
    max_nsfw: float | None = 0.5
    max_watermark: float | None = 0.8
    min_similarity: float | None = None
    unknown: Unknown = "keep"

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A reason where a score is not as wanted."""
        reasons = [self._reason(row) for row in batch.drop_columns("key").to_pylist()]
        return pa.table({"key": batch["key"], "reason": pa.array(reasons, pa.string())})

    def _reason(self, row: dict[str, Any]) -> str | None:
        unsafe = row["nsfw_score"]
        if unsafe is None and (row["nsfw"] or "").upper() == "NSFW":
            unsafe = 1.0  # a table's word, where it has no number
        bounds = (
            ("unsafe", unsafe, self.max_nsfw, 1),
            ("watermark", row["watermark_score"], self.max_watermark, 1),
            ("low_aesthetic", row["aesthetic"], self.min_aesthetic, -1),
            ("caption_mismatch", row["text_similarity"], self.min_similarity, -1),
        )
        wanted = [bound for bound in bounds if bound[2] is not None]
        for reason, score, bound, sign in wanted:
            # As 32-bit numbers, which is what a column holds of a threshold such as 0.8.
            if score is not None and sign * np.float32(score) > sign * np.float32(bound):
                return reason
        if self.unknown == "reject" and any(score is None for _, score, _, _ in wanted):
            return "score_unknown"
        return None


@dataclass
class Quality(NetworkSettings):
    """Both stages under one name in a recipe: score pictures, keep them by their scores."""

    name: ClassVar[str] = "quality"

    clip: Path | None = None
    """CLIP: a folder as transformers has it, or a file of its image tower as timm has it."""
    library: Library = "timm"
    """Who runs the image tower of a folder; both give the same embeddings."""
    tower: str = TOWER
    """What a file holds, by timm's name."""
    aesthetic: Aesthetic = "v2"
    """LAION's head, out of the store; table leaves the score to the table."""
    aesthetic_head: Path | None = None
    """A head from a file instead."""
    nsfw_head: Path | None = None
    """A head for what is not safe; None leaves the score to the table."""
    embedding: bool = False
    """Write the embedding too."""
    min_aesthetic: float | None = 4.5
    max_nsfw: float | None = 0.5
    """Greatest probability of being unsafe; None turns the rule off."""
    max_watermark: float | None = 0.8
    min_similarity: float | None = None
    """Least cosine of picture and caption. Its scale is the tower's own: look at yours first."""
    unknown: Unknown = "keep"
    """What becomes of a picture one of whose scores is wanted and not known."""

    def stages(self) -> tuple[Stage, Stage]:
        """The scores and the decision."""
        return self._part(ScoreQuality), self._part(ChooseQuality)

    def _part(self, kind: type[Part]) -> Part:
        """A stage with the settings that are its own."""
        names = [f.name for f in dataclasses.fields(kind) if f.init]
        return kind(**{name: getattr(self, name) for name in names})
