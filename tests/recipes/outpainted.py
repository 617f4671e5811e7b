"""Real pictures at hand, and depth and normals looked for on a wider canvas."""

from humanverse.annotate import Depth, Normals, Outpaint
from humanverse.collect import Collect
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.stages import HashDetect

recipe = Recipe(
    name="outpainted",
    plan=Plan(unit_rows=3),
    collect=[Collect(max_side=400, min_side=32)],
    filter=[HashDetect(), ChoosePeople(min_people=0, max_people=9, min_area=0.0, min_score=1.0)],
    annotate=[Outpaint(), Depth(outpainted=True), Normals(outpainted=True)],
    pack=Pack(units_per_shard=3),
)
