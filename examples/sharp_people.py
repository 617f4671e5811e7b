"""A recipe with a stage of one's own between the filter's."""

from sharpness import Sharpness

from humanverse.annotate import Depth, Normals, Pose
from humanverse.collect import Collect
from humanverse.filter import People
from humanverse.recipe import Recipe

recipe = Recipe(
    name="sharp-people",
    collect=[Collect(max_side=512)],
    filter=[Sharpness(least=50.0), People()],
    annotate=[Pose(), Depth(), Normals()],
)
