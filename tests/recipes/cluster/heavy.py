"""A collector that brings much at once, before labels that take their time."""

from far import FarCollect, Slow

from humanverse.plan import Plan
from humanverse.recipe import Recipe

recipe = Recipe(
    name="heavy",
    plan=Plan(unit_rows=4),
    collect=[FarCollect(padding=125_000)],
    annotate=[Slow()],
)
