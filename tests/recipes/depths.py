"""Labels by hash in layers of their own, depth by a number: to be made anew one at a time."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from humanverse import schema
from humanverse.codec import encode_depth, encode_normals
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.stage import BaseStage
from humanverse.testing.stages import HashCollect, HashDetect


@dataclass
class FlatDepth(BaseStage):
    """The same depth everywhere, beginning so far away."""

    name: ClassVar[str] = "depth"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    writes: ClassVar[pa.Schema] = schema.writes(
        "depth_png", "depth_kind", "depth_scale", "depth_offset"
    )

    metres: float = 2.0

    def __call__(self, batch):
        png, scale, offset = encode_depth(np.full((16, 24), self.metres, np.float32))
        row = {"depth_png": png, "depth_kind": "metric"}
        row |= {"depth_scale": scale, "depth_offset": offset}
        table = pa.Table.from_pylist([row] * batch.num_rows, self.writes)
        return table.add_column(0, "key", batch["key"])


@dataclass
class FlatNormals(BaseStage):
    """Normals that face the viewer, which somebody reckoned from depth."""

    name: ClassVar[str] = "normals"
    reads: ClassVar[tuple[str, ...]] = ("depth_png",)
    writes: ClassVar[pa.Schema] = schema.writes("normal_png")

    def __call__(self, batch):
        normals = np.zeros((16, 24, 3), np.float32)
        normals[..., 2] = 1
        png = pa.array([encode_normals(normals)] * batch.num_rows, pa.large_binary())
        return pa.table([batch["key"], png], names=["key", "normal_png"])


@dataclass
class Brightness(BaseStage):
    """Mean size of a JPEG's bytes: it stands on the picture alone."""

    name: ClassVar[str] = "brightness"
    reads: ClassVar[tuple[str, ...]] = ("image",)
    writes: ClassVar[pa.Schema] = pa.schema({"bytes": pa.int32()})

    plus: int = 0

    def __call__(self, batch):
        sizes = [len(image.as_py()) + self.plus for image in batch["image"]]
        return pa.table({"key": batch["key"], "bytes": pa.array(sizes, pa.int32())})


recipe = Recipe(
    name="depths",
    plan=Plan(unit_rows=4),
    collect=[HashCollect()],
    filter=[HashDetect(), ChoosePeople(min_area=0.05, max_people=9)],
    annotate=[FlatDepth(), FlatNormals(), Brightness()],
    pack=Pack(units_per_shard=2),
)
