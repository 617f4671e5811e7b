"""The first stage at 512 pixels, on GPUs, with nothing downloaded: pixels and bytes.

    torchrun --nproc-per-node 8 -m humanverse train base_512 --data ROOT --out RUN

The paper's (HyperHuman, arXiv 2310.08579): pictures of 512, all three branches at one shared time,
captions, sizes and poses each kept from the network 15 % of the time, a global batch of thousands
in the end, AdamW at 1e-5 to fine-tune Stable Diffusion. Ours: a transformer that begins from
nothing, so 1e-4, rectified flow in place of v-prediction (`--set method.kind=diffusion` is the
paper's), and tokens of 32 x 32 pixels of which the picture is predicted (arXiv 2511.13720). With an
autoencoder `--set network.patch=2 --set method.predicts=velocity`. Fine-tuning a run of one's own:
`--from RUN --set optim.rate=1e-5`, the paper's.

It was never run at this size: what is proven of it is docs/training.md.
"""

from humanverse.train.settings import Conditions, Data, Method, Network, Optim, Run, Training

training = Training(
    name="base-512",
    data=Data(image_size=512, crop="random", workers=12),
    network=Network(width=1024, heads=16, experts=2, trunk=20, patch=32, across=16.0),
    method=Method(predicts="picture", mean=0.8),
    conditions=Conditions(drop_text=0.15, drop_size=0.15, drop_maps=0.15),
    optim=Optim(steps=300_000, batch_size=1024, rate=1e-4, warmup=5000, cooldown=30_000),
    run=Run(compile=True, log_every=50, save_every=2500, keep=3, sample_every=5000, samples=8),
)
