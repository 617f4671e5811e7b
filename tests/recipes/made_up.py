"""The whole way with doubles for the web and the models."""

from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.select import Select
from humanverse.testing.stages import HashCopies, HashDetect, HashLabels

recipe = Recipe(
    name="made-up",
    plan=Plan(unit_rows=4),
    collect=[HashCopies()],
    filter=[HashDetect(), ChoosePeople(min_area=0.2)],
    annotate=[HashLabels()],
    select=Select(),
    pack=Pack(units_per_shard=2),
)
"""Nothing is asked and nothing loaded, so that a build takes a moment."""
