"""The whole way with doubles for the models."""

from humanverse.collect import Collect
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.select import Select
from humanverse.testing.stages import HashDetect, HashLabels

recipe = Recipe(
    name="doubles",
    plan=Plan(unit_rows=7),
    collect=[
        Collect(
            min_side=64,
            allow_hosts=("127.0.0.1",),
            timeout=10.0,
            per_host=16,
            per_host_rate=0,
            contact="tests@localhost",
        )
    ],
    filter=[HashDetect(), ChoosePeople(min_area=0.2)],
    annotate=[HashLabels()],
    select=Select(),
    pack=Pack(units_per_shard=3),
)
