"""The demo: a web on localhost, lite models, everything small: a minute or two, no GPU, no hub."""

from humanverse.annotate import Depth, Normals, Pose
from humanverse.collect import Collect
from humanverse.filter import People
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.select import Select

recipe = Recipe(
    name="demo",
    plan=Plan(unit_rows=20),
    collect=[
        Collect(
            max_side=640,
            max_bytes=8 << 20,
            timeout=5.0,
            per_host=32,
            per_host_rate=0,
            contact="demo@localhost",
        )
    ],
    filter=[People(detector="blazepose", max_people=3, min_area=0.15)],
    annotate=[Pose(model="blazepose"), Depth(model="lite"), Normals(model="lite")],
    select=Select(splits=("train=0.8", "test=0.2")),
    pack=Pack(units_per_shard=4),
)
