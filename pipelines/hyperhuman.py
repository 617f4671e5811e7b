"""HumanVerse by the paper's own models (arXiv 2310.08579), from weights that you bring.

The rules are those of the recipe `humanverse`, near-duplicates and splits included. Labels are made
on canvases that a diffusion model has widened, and cut to the frame: ViTPose++ of the largest size,
Omnidata's depth and normals. Two things differ. The paper found people by YOLOS and does not say of
which size: RF-DETR takes its place. And it kept MiDaS' depth besides: a second depth is another
dataset, by `annotate --only`.

    hf download stabilityai/stable-diffusion-2-inpainting --local-dir weights/sd2-inpainting
    humanverse build hyperhuman --input relaion/*.parquet coyo/*.parquet --out ROOT \
        --set collect.contact=you@example.org \
        --set quality.clip=weights/clip-l14 --set quality.gpus=1 \
        --set people.weights=weights/rf-detr-large --set outpaint.weights=weights/sd2-inpainting \
        --set pose.weights=weights/vitpose+_huge.pth \
        --set depth.weights=weights/omnidata_dpt_depth_v2.ckpt \
        --set normals.weights=weights/omnidata_dpt_normal_v2.ckpt

docs/models.md tells where the weights come from, and under which licences.
"""

from humanverse.annotate import Captions, Depth, Normals, Outpaint, Pose
from humanverse.collect import Collect
from humanverse.filter import People, Quality
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.select import Select

recipe = Recipe(
    name="hyperhuman",
    plan=Plan(
        unit_rows=1000,
        max_punsafe=0.5,
        max_pwatermark=0.8,
        min_aesthetic=4.5,
        min_side=200,
    ),
    collect=[Collect(max_side=1024, min_side=200)],
    filter=[
        People(detector="rfdetr", min_people=1, max_people=3, min_area=0.15, gpus=1),
        Quality(min_aesthetic=4.5, max_nsfw=0.5, max_watermark=0.8, gpus=1),
    ],
    annotate=[
        Outpaint(model="inpainting", gpus=1),
        Pose(model="vitpose", outpainted=True, gpus=1),
        Depth(model="omnidata", outpainted=True, gpus=1),
        Normals(model="omnidata", outpainted=True, gpus=1),
        Captions(gpus=1),
    ],
    select=Select(near_duplicates="drop", max_distance=4),
    pack=Pack(units_per_shard=50),
)
