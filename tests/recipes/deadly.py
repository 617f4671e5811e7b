"""Doubles, with a stage that some rows kill."""

from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.deadly import Deadly
from humanverse.testing.stages import HashCollect, HashDetect, HashLabels

recipe = Recipe(
    name="deadly",
    plan=Plan(unit_rows=500),
    collect=[HashCollect()],
    filter=[Deadly(), HashDetect(), ChoosePeople(min_area=0.2)],
    annotate=[HashLabels()],
    pack=Pack(units_per_shard=20),
)
