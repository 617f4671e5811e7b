"""Train the lite geometry network on rendered scenes and write it as an ONNX file.

    python scripts/train_lite_geometry.py --out humanverse/models/weights/lite_geometry.onnx

The scenes are rendered once into --cache (about 300 kB each) and seen many times, each time
cropped, recoloured and degraded differently. Nothing but rendered scenes is trained on, and of
those only seeds below 10,000,000; `benchmarks/lite_depth.py` measures on the others.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import lite_geometry_data as data
import numpy as np
import torch
import torch.nn.functional as F
from lite_geometry_net import Network, disparity_loss, export, normal_loss

TAUGHT, BATCH = 96, 24
"""Pixels a side and pictures a batch in training. Going on at 160 pixels told held-out scenes a
little better and photographs worse, and cost nearly three times as much a picture."""
SHIPPED = 160
"""Pixels a side of the exported network: of 128, 160 and 192 the best on the tuning photographs."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "lite_geometry")
    parser.add_argument("--scenes", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument(
        "--start", type=Path, help="a checkpoint to go on from, or, with --steps 0, to export"
    )
    return parser.parse_args()


def losses(network: Network, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    image, disparity, normals, people = batch
    image = image.contiguous(memory_format=torch.channels_last)
    guess, turned, person = network(image)
    return {
        "disparity": disparity_loss(guess, disparity),
        "normals": normal_loss(turned, normals),
        "people": 2 * F.binary_cross_entropy_with_logits(person, people),
    }


def train(args: argparse.Namespace, maps: dict[str, np.memmap]) -> Network:
    """Train, and give the running mean of the weights."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    network = Network().to(memory_format=torch.channels_last)
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True))
    mean = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=0.02)
    network.train()
    begin, seen = time.monotonic(), {}
    batches = data.Batches(maps, BATCH, TAUGHT, args.seed)
    loader = torch.utils.data.DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4)
    for step, batch in enumerate(itertools.islice(loader, args.steps), start=1):
        fall = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * (step - 1) / args.steps))
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min(1, step / 100) * fall
        parts = losses(network, batch)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(network)
        for name, value in parts.items():
            seen[name] = 0.98 * seen.get(name, value.item()) + 0.02 * value.item()
        if step % 100 == 0:
            shown = {name: round(value, 3) for name, value in seen.items()}
            torch.save(mean.module.state_dict(), args.cache / f"{args.out.stem}.pt")
            print(f"{time.monotonic() - begin:6.0f} s, step {step}", shown, flush=True)
    return mean.module


def main() -> None:
    args = arguments()
    args.cache.mkdir(parents=True, exist_ok=True)
    maps = data.fill(args.cache, "train", 0, args.scenes, args.workers)
    network = train(args, maps)
    export(network, SHIPPED, args.out)
    count = sum(p.numel() for p in network.parameters())
    print(f"{count} parameters, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
