"""The second stage, 512 to 1024 pixels, on GPUs.

    torchrun --nproc-per-node 8 -m humanverse refine refiner_1024 --data ROOT --out FINE --from RUN

The paper's (HyperHuman, arXiv 2310.08579): pose, depth and normals are told as maps, their
embeddings summed, each kept from the network half of the time. Ours: where the paper leaves its
base frozen beside a trainable branch, all weights learn, beginning from the first stage's, and
depth and normals enter through layers that give nothing at first; they are seen as the first stage
gives them, at half the size. Samples are made with times moved towards noise (arXiv 2403.03206).
"""

from humanverse.train.settings import Conditions, Data, Method, Network, Optim, Run, Training

training = Training(
    name="refiner-1024",
    stage="refiner",
    data=Data(image_size=1024, crop="random", workers=12),
    network=Network(
        branches=("rgb",),
        maps=("pose", "depth", "normal"),
        width=1024,
        heads=16,
        experts=2,
        trunk=20,
        patch=32,
        across=16.0,
    ),
    method=Method(predicts="picture", mean=1.2, shift=2.0),
    conditions=Conditions(drop_text=0.15, drop_size=0.15, drop_maps=0.5),
    optim=Optim(steps=100_000, batch_size=256, rate=5e-5, warmup=2000, cooldown=10_000),
    run=Run(compile=True, log_every=50, save_every=2500, keep=3, sample_every=5000),
)
