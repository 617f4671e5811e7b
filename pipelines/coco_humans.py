"""The human subset of COCO, on which HyperHuman was evaluated (arXiv 2310.08579).

Of each picture the square in the middle, at 512 pixels; one to three people on at least 15 % of it,
by COCO's annotations and not by a detector; the first of its five captions; and its keypoints, 133
where COCO-WholeBody's file lies beside, else 17. People that the cut leaves out do not count, and
those whom it cuts count by what is left. Pictures with a crowd are left out. COCO's pictures are
seldom 512 pixels high, so they are enlarged.

    humanverse build coco_humans --input coco/annotations/person_keypoints_val2014.json --out ROOT \
        --set truth.annotations=coco/annotations/person_keypoints_val2014.json

Pictures are looked for in `coco/val2014`, captions in `coco/annotations/captions_*.json`.
docs/evaluation-set.md says more.
"""

from humanverse.annotate import Depth, Normals
from humanverse.collect.square import CollectSquare
from humanverse.filter.annotated import Annotated
from humanverse.filter.people import ChoosePeople
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe

recipe = Recipe(
    name="coco_humans",
    plan=Plan(unit_rows=1000),
    collect=[CollectSquare(side=512, enlarge=True, min_side=64)],
    filter=[Annotated(), ChoosePeople(min_people=1, max_people=3, min_area=0.15)],
    annotate=[Depth(), Normals()],
    pack=Pack(units_per_shard=50),
)
