"""The COYO half: COYO-700M, whose table counts faces and scores aesthetics.

Rows without a face are not worth fetching for a dataset of people who mostly face the camera; set
`plan.min_faces=0` to have those seen from behind too. Of the paper's 339 million images, 91 million
came from COYO.
"""

from dataclasses import replace
from pathlib import Path

from humanverse.recipe import load_recipe

humanverse = load_recipe(Path(__file__).with_name("humanverse.py"))

recipe = replace(
    humanverse,
    name="coyo-700m",
    plan=replace(humanverse.plan, source="coyo700m", min_faces=1),
)
