"""Made-up pictures, all of them kept, and copies of them."""

from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.select import Select
from humanverse.testing.stages import HashCopies, HashDetect, HashLabels

recipe = Recipe(
    name="copies",
    plan=Plan(unit_rows=6),
    collect=[HashCopies()],
    filter=[HashDetect(), ChoosePeople(min_people=0, max_people=9, min_area=0.0)],
    annotate=[HashLabels()],
    select=Select(splits=("train=0.5", "test=0.5")),
    pack=Pack(units_per_shard=2),
)
