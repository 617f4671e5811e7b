"""A collector that brings much at once, before labels that take their time."""

from far import FarCollect, Slow

from humanverse.filter.people import ChoosePeople
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.stages import HashDetect

recipe = Recipe(
    name="heavy",
    plan=Plan(unit_rows=4),
    collect=[FarCollect(padding=125_000)],
    filter=[HashDetect(), ChoosePeople(min_area=0.2)],
    annotate=[Slow()],
)
