"""The trainer on the demo's dataset, in minutes on a CPU.

    humanverse train demo --data runs/demo --out runs/demo-train

It shows that data, network, checkpoints and samples fit together, and nothing of quality: after 400
steps pictures have the colours and the coarse layout of the data. All
numbers are ours. Pixels are learned as they are, so there is nothing to download; each token is
8 x 8 of them, more numbers than the network could tell apart from noise one by one, so it predicts
pictures (arXiv 2511.13720).
"""

from humanverse.train.settings import Conditions, Data, Method, Network, Optim, Run, Training

training = Training(
    name="demo",
    data=Data(image_size=64, crop="centre", workers=2),
    network=Network(width=128, heads=4, experts=1, trunk=3, patch=8, across=8.0),
    method=Method(predicts="picture", mean=0.5),
    conditions=Conditions(text_length=64, text_width=64),
    optim=Optim(steps=400, batch_size=8, rate=1.5e-3, warmup=20, cooldown=100, ema=0.99),
    run=Run(log_every=20, save_every=100, sample_every=100, sample_steps=20, guidance=1.5),
)
