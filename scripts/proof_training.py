"""A training recipe: figures of 64 x 64 pixels, for `scripts/train_proof.py`."""

from humanverse.train.settings import Conditions, Data, Method, Network, Optim, Run, Training

training = Training(
    name="proof",
    data=Data(image_size=64, crop="centre", workers=1),
    network=Network(width=128, heads=4, experts=1, trunk=4, patch=8, across=8.0),
    method=Method(predicts="picture", mean=0.5),
    conditions=Conditions(text_length=32, text_width=64),
    optim=Optim(steps=1600, batch_size=16, rate=1.5e-3, warmup=50, cooldown=600, ema=0.998),
    run=Run(
        log_every=50,
        save_every=200,
        keep=1,
        sample_every=400,
        samples=8,
        sample_steps=30,
        guidance=1.5,
    ),
)
