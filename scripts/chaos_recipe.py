"""The whole way from a local web, with doubles for the models: what chaos.py breaks."""

from humanverse.collect import Collect
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.stages import HashDetect, HashLabels

recipe = Recipe(
    name="chaos",
    plan=Plan(unit_rows=4),
    collect=[
        Collect(
            min_side=16,
            allow_hosts=("127.0.0.1",),
            per_host=16,
            per_host_rate=0,
            contact="chaos@localhost",
            decoders=1,
        )
    ],
    filter=[HashDetect(), ChoosePeople(min_area=0.2)],
    annotate=[HashLabels()],
    pack=Pack(units_per_shard=3),
)
