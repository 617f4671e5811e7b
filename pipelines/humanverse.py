"""HumanVerse, as HyperHuman's paper describes it (arXiv 2310.08579), out of LAION and COYO.

Its rules: 1 to 3 people, people on more than 15 % of the frame, an aesthetic score of at least 4.5,
sides of at least 200 pixels. The table's scores serve where a table has them (COYO has all, LAION
some): they spare fetching. With CLIP at hand every picture is scored besides, after people were
looked for, which costs less and rejects more. The web's opt-outs are honoured, which the paper does
not mention.

The paper says nothing of duplicates and splits. Here near-duplicates are left out, and 98 % of the
samples are for training, 1 % for validation and 1 % for tests. What looks like a picture of COCO is
left out too with `--set select.benchmarks=coco/val2014` (docs/duplicates.md).

Two more things differ from the paper, both settings. LAION-2B-en was withdrawn in 2023: give
Re-LAION-2B-en-research-safe in its place. And the labels are those of the lite models, which need
no hub: the paper used YOLOS, ViTPose-H whole-body, Omnidata's depth and normals, and MiDaS' depth.

    humanverse build pipelines/humanverse.py --input relaion/*.parquet coyo/*.parquet --out ROOT \
        --set collect.contact=you@example.org --set people.detector=yolox

With weights that you bring (docs/models.md), pictures are scored, captions generated beside the
web's, and depth and normals are the paper's by

        --set quality.clip=clip-vit-large-patch14 --set quality.nsfw_head=nsfw_l14.pth \
        --set caption.model=blip2 --set caption.weights=blip2-opt-2.7b \
        --set depth.model=omnidata --set depth.weights=omnidata_dpt_depth_v2.ckpt \
        --set normals.model=omnidata --set normals.weights=omnidata_dpt_normal_v2.ckpt
"""

from humanverse.annotate import Captions, Depth, Normals, Pose
from humanverse.collect import Collect
from humanverse.filter import People, Quality
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.select import Select

recipe = Recipe(
    name="humanverse",
    plan=Plan(
        unit_rows=1000,
        max_punsafe=0.5,
        max_pwatermark=0.8,
        min_aesthetic=4.5,
        min_side=200,
    ),
    collect=[Collect(max_side=1024, min_side=200)],
    filter=[
        People(detector="blazepose", min_people=1, max_people=3, min_area=0.15),
        Quality(min_aesthetic=4.5, max_nsfw=0.5, max_watermark=0.8),
    ],
    annotate=[Pose(), Depth(), Normals(), Captions()],
    select=Select(near_duplicates="drop", max_distance=4),
    pack=Pack(units_per_shard=50),
)
