"""Rendered figures with their true labels."""

from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.figure_stages import FigureCollect, FigureDetect, FigureLabels

recipe = Recipe(
    name="figures",
    plan=Plan(unit_rows=8),
    collect=[FigureCollect()],
    filter=[FigureDetect(), ChoosePeople(min_people=1, max_people=1, min_area=0.01)],
    annotate=[FigureLabels()],
    pack=Pack(units_per_shard=2),
)
