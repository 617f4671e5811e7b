"""Rendered scenes with their true boxes and keypoints, and faces blurred."""

from recipes.perfect import SEEDS, SIZE

from humanverse.annotate import BlurFaces
from humanverse.collect import Collect
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.testing.perfect import PerfectDetect, PerfectPose

recipe = Recipe(
    name="faceless",
    plan=Plan(unit_rows=3),
    collect=[Collect(max_side=400, min_side=64)],
    filter=[PerfectDetect(seeds=SEEDS, size=SIZE), ChoosePeople(min_area=0.0)],
    annotate=[PerfectPose(seeds=SEEDS, size=SIZE), BlurFaces()],
    pack=Pack(units_per_shard=3),
)
