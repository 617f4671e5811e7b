"""The whole way without pictures: what stages say of a million rows, made up, at once."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.stage import BaseStage

FIELDS = [name for name in schema.COLLECT if name != "image"]
LOST = ("http_gone", "timeout", "dns", "http_refused", "not_image", "robots")
STATUS = (404, None, None, 403, 200, None)


def drawn(batch: pa.Table) -> np.random.Generator:
    """Numbers that follow from the first key."""
    return np.random.default_rng(int(batch["key"][0].as_py()[:15], 16))


def answer(batch: pa.Table, columns: dict, reason: np.ndarray, writes: pa.Schema) -> pa.Table:
    """An answer; rows that are lost have no fields."""
    lost = pa.array(reason != "")
    told = {name: pa.array(value, writes.field(name).type) for name, value in columns.items()}
    arrays = [pa.compute.if_else(lost, None, told[name]) for name in writes.names]
    names = ["key", *writes.names, "reason"]
    words = pa.array([word or None for word in reason.tolist()], pa.string())
    return pa.Table.from_arrays([batch["key"].combine_chunks(), *arrays, words], names)


@dataclass
class Fetched(BaseStage):
    """As if fetched: a fifth is gone."""

    name: ClassVar[str] = "collect"
    reads: ClassVar[tuple[str, ...]] = ("url",)
    writes: ClassVar[pa.Schema] = schema.writes(*FIELDS)
    reasons: ClassVar[tuple[str, ...]] = LOST
    batch_rows: ClassVar[int] = 1000

    def __call__(self, batch: pa.Table) -> pa.Table:
        random, n = drawn(batch), batch.num_rows
        which = random.integers(0, 5 * len(LOST), n)
        reason = np.array([*LOST, *[""] * 4 * len(LOST)])[which]
        width, height = random.integers(200, 1400, (2, n))
        sizes = {"width": width, "height": height}
        sizes |= {f"original_{name}": value for name, value in sizes.items()}
        hosts = [f"h{x}.example.org" for x in random.zipf(1.5, n)]
        columns = sizes | {
            "format": random.choice(["JPEG", "PNG", "WEBP"], n, p=[0.9, 0.06, 0.04]),
            "sha256": [key * 2 for key in batch["key"].to_pylist()],
            "phash": [key[:16] for key in batch["key"].to_pylist()],
            "http_status": np.full(n, 200),
            "final_host": hosts,
        }
        return answer(batch, columns, reason, self.writes)


@dataclass
class Counted(BaseStage):
    """As if people had been found: four fifths have none, or too small ones."""

    name: ClassVar[str] = "people"
    reads: ClassVar[tuple[str, ...]] = ("width",)
    writes: ClassVar[pa.Schema] = schema.writes("person_count", "person_area")
    reasons: ClassVar[tuple[str, ...]] = ("no_person", "people_too_small", "too_many_people")
    batch_rows: ClassVar[int] = 1000

    def __call__(self, batch: pa.Table) -> pa.Table:
        random, n = drawn(batch), batch.num_rows
        count = random.choice([0, 1, 2, 3, 5, 9], n, p=[0.5, 0.25, 0.1, 0.05, 0.05, 0.05])
        area = np.where(count > 0, random.beta(1, 3, n), 0).astype(np.float32)
        reason = np.select(
            [count == 0, count > 3, area < 0.15],
            ["no_person", "too_many_people", "people_too_small"],
            "",
        )
        made = {"person_count": count, "person_area": area}
        told = {name: pa.array(value, self.writes.field(name).type) for name, value in made.items()}
        words = pa.array([word or None for word in reason.tolist()], pa.string())
        return pa.table({"key": batch["key"]} | told | {"reason": words})


@dataclass
class Scored(BaseStage):
    """As if scored."""

    name: ClassVar[str] = "quality"
    reads: ClassVar[tuple[str, ...]] = ("width",)
    writes: ClassVar[pa.Schema] = schema.writes("aesthetic", "nsfw_score", "text_similarity")
    reasons: ClassVar[tuple[str, ...]] = ("low_aesthetic", "unsafe")
    batch_rows: ClassVar[int] = 1000

    def __call__(self, batch: pa.Table) -> pa.Table:
        random, n = drawn(batch), batch.num_rows
        scores = {
            "aesthetic": random.normal(5.2, 0.8, n),
            "nsfw_score": random.beta(1, 9, n),
            "text_similarity": random.normal(0.28, 0.04, n),
        }
        low, unsafe = scores["aesthetic"] < 4.5, scores["nsfw_score"] > 0.5
        reason = np.select([low, unsafe], ["low_aesthetic", "unsafe"], "")
        told = {name: pa.array(v, self.writes.field(name).type) for name, v in scores.items()}
        words = pa.array([word or None for word in reason.tolist()], pa.string())
        return pa.table({"key": batch["key"]} | told | {"reason": words})


recipe = Recipe(
    name="made-up-million",
    plan=Plan(unit_rows=1000),
    collect=[Fetched()],
    filter=[Counted(), Scored()],
    pack=Pack(),
)
