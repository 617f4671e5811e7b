"""The second stage on the demo's dataset: pictures of 128 pixels, told what the first one paints.

    humanverse refine demo_refiner --data runs/demo --out runs/train-refiner --from runs/train

All numbers are ours, but that each map is kept from it half of the time (arXiv 2310.08579).
"""

from humanverse.train.settings import Conditions, Data, Method, Network, Optim, Run, Training

training = Training(
    name="demo-refiner",
    stage="refiner",
    data=Data(image_size=128, crop="centre", workers=2),
    network=Network(
        branches=("rgb",),
        maps=("pose", "depth", "normal"),
        width=128,
        heads=4,
        experts=1,
        trunk=3,
        patch=8,
        across=8.0,
    ),
    method=Method(predicts="picture", mean=0.5),
    conditions=Conditions(text_length=64, text_width=64, drop_maps=0.5),
    optim=Optim(steps=200, batch_size=8, rate=5e-4, warmup=20, cooldown=50, ema=0.99),
    run=Run(log_every=20, save_every=100, sample_every=100, sample_steps=20, guidance=1.5),
)
