"""The LAION half: Re-LAION-2B-en-research-safe, the release that is still distributed.

The original LAION-2B-en was withdrawn because links to illegal images were found in it; a table of
it is refused unless `--set plan.allow_withdrawn=true` is said. Of the paper's 339 million images,
248 million came from LAION.
"""

from dataclasses import replace
from pathlib import Path

from humanverse.recipe import load_recipe

humanverse = load_recipe(Path(__file__).with_name("humanverse.py"))

recipe = replace(
    humanverse,
    name="laion2b-en",
    plan=replace(humanverse.plan, source="relaion2b_en"),
)
