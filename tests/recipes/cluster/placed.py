"""Doubles on a cluster: a collector apart from the rest, and labels that wait for company."""

from far import FarCollect, Meet

from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.stages import HashDetect, HashLabels

recipe = Recipe(
    name="placed",
    plan=Plan(unit_rows=4),
    collect=[FarCollect()],
    filter=[HashDetect(), ChoosePeople(min_area=0.2)],
    annotate=[Meet(), HashLabels()],
    pack=Pack(units_per_shard=4),
)
