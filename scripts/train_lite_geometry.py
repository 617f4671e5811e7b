"""Train the lite geometry network on rendered scenes and write it as an ONNX file.

    python scripts/train_lite_geometry.py --out humanverse/models/weights/lite_geometry.onnx

The scenes are rendered once into --cache (about 300 kB each) and seen many times, each time
cropped, recoloured and degraded differently. Nothing but rendered scenes is trained on.
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
from lite_geometry_net import Network, disparity_loss, export, levelled, normal_loss

PHASES = ((0.55, 96, 24), (0.9, 128, 24), (1.0, 192, 12))
"""Until which share of the steps, pixels a side, pictures a batch: small pictures teach most."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "lite_geometry")
    parser.add_argument("--scenes", type=int, default=5000)
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from")
    return parser.parse_args()


def losses(network: Network, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    image, disparity, normals, people = batch
    image = image.contiguous(memory_format=torch.channels_last)
    guess, turned, person = network(image)
    return {
        "disparity": disparity_loss(guess, disparity),
        "normals": normal_loss(turned, normals),
        "people": F.binary_cross_entropy_with_logits(person, people),
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
    begin, step, seen = time.monotonic(), 0, {}
    for until, side, size in PHASES:
        batches = data.Batches(maps, size, side, args.seed + side)
        loader = torch.utils.data.DataLoader(
            batches, batch_size=None, num_workers=1, prefetch_factor=4
        )
        for batch in itertools.islice(loader, round(until * args.steps) - step):
            fall = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * step / args.steps))
            for group in optimizer.param_groups:
                group["lr"] = args.rate * min(1, (step + 1) / 100) * fall
            parts = losses(network, batch)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(parts.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            mean.update_parameters(network)
            step += 1
            for name, value in parts.items():
                seen[name] = 0.98 * seen.get(name, value.item()) + 0.02 * value.item()
            if step % 100 == 0:
                shown = {name: round(value, 3) for name, value in seen.items()}
                torch.save(mean.module.state_dict(), args.cache / f"{args.out.stem}.pt")
                print(f"{time.monotonic() - begin:6.0f} s, step {step}", shown, flush=True)
    return mean.module


@torch.inference_mode()
def held_out(network: Network, maps: dict[str, np.memmap]) -> dict[str, float]:
    """Accuracy on scenes never trained on: disparity aligned by least squares; normals."""
    network.eval()
    good, angles = [], []
    for index in range(len(maps["image"])):
        image = torch.from_numpy(maps["image"][index].astype(np.float32) / 255)
        guess, normals, _ = network(image.permute(2, 0, 1)[None])
        truth = torch.from_numpy(maps["disparity"][index].astype(np.float32))[None, None, ::2, ::2]
        good.append(within(levelled(guess).flatten(), truth.flatten()))
        unit = F.normalize(normals, dim=1)[0].permute(1, 2, 0)
        true = torch.from_numpy(maps["normals"][index][::2, ::2].astype(np.float32) / 127)
        cosine = (unit * F.normalize(true, dim=2)).sum(2).clamp(-1, 1)
        angles.append(torch.rad2deg(torch.arccos(cosine)).median().item())
    return {
        "delta<1.25": float(np.mean(good)),
        "median normal error, degrees": float(np.mean(angles)),
    }


def within(guess: torch.Tensor, truth: torch.Tensor) -> float:
    """The share of pixels nearer than 60 m whose aligned depth is within 1.25 of the truth."""
    near = truth > 1 / 60
    design = torch.stack([guess, torch.ones_like(guess)], 1)[near]
    fit = torch.linalg.lstsq(design, truth[near, None]).solution
    aligned = (design @ fit)[:, 0].clamp(min=1 / 80)
    ratio = torch.maximum(aligned / truth[near], truth[near] / aligned)
    return (ratio < 1.25).float().mean().item()


def main() -> None:
    args = arguments()
    args.cache.mkdir(parents=True, exist_ok=True)
    kept = data.fill(args.cache, "held", data.HELD_OUT, args.held_out, args.workers)
    maps = data.fill(args.cache, "train", 0, args.scenes, args.workers)
    network = train(args, maps)
    export(network, data.SIDE, args.out)
    count = sum(p.numel() for p in network.parameters())
    print(f"{count} parameters, {args.out.stat().st_size} bytes")
    print(held_out(network, kept))


if __name__ == "__main__":
    main()
