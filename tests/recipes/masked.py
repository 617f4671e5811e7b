"""Rendered scenes at hand, kept by how much their people cover, to the pixel."""

from recipes.perfect import SEEDS, SIZE

from humanverse.collect import Collect
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.perfect import PerfectDetect, PerfectSegment

recipe = Recipe(
    name="masked",
    plan=Plan(unit_rows=3),
    collect=[Collect(max_side=400, min_side=64)],
    filter=[
        PerfectDetect(seeds=SEEDS, size=SIZE),
        PerfectSegment(seeds=SEEDS, size=SIZE),
        ChoosePeople(rule="mask", min_people=0, max_people=9, min_area=0.035),
    ],
    pack=Pack(units_per_shard=3),
)
