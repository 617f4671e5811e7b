"""Rendered scenes at hand, labelled with their truth."""

from humanverse.collect import Collect
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.perfect import PerfectDepth, PerfectDetect, PerfectNormals, PerfectPose

SEEDS, SIZE = (2, 3, 7, 9), (320, 240)

recipe = Recipe(
    name="perfect",
    plan=Plan(unit_rows=3),
    collect=[Collect(max_side=400, min_side=64)],
    filter=[
        PerfectDetect(seeds=SEEDS, size=SIZE),
        ChoosePeople(min_people=0, max_people=9, min_area=0.0),
    ],
    annotate=[
        PerfectPose(seeds=SEEDS, size=SIZE),
        PerfectDepth(seeds=SEEDS, size=SIZE),
        PerfectNormals(seeds=SEEDS, size=SIZE),
    ],
    pack=Pack(units_per_shard=3),
)
