"""Does the trainer learn people? On rendered figures whose truth is known: `make train-proof`.

Three thousand figures are built into a dataset, and a network learns picture, depth and normals of
them, another one the picture alone, in as many steps. Then, on 512 figures that neither has seen:
(a) how far the loss fell, (b) whether samples stand as they were told, (c) whether their depth and
normals agree, (d) which of the two paints pictures nearer to the true ones. An hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import proof_geometry as geometry
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from proof_finder import Finder, away, taught
from proof_kid import features, kid
from safetensors.torch import load_file, save_file

import humanverse
from humanverse.drawing import skeleton
from humanverse.run.build import Settings, build
from humanverse.testing.figures import caption
from humanverse.train import flow
from humanverse.train.draws import draw
from humanverse.train.examples import Example, Examples
from humanverse.train.given import Given
from humanverse.train.grid import grid, write_png
from humanverse.train.painter import Painter, painted, restored
from humanverse.train.parts import made

HERE = Path(__file__).parent
CPU = torch.device("cpu")
TRAINING, HELD, FIRST_HELD = 3000, 512, 100_000
SAMPLES = 256
LEGS = ((1600, 600), (3000, 800))
"""Steps, and the last of them over which the rate falls to nothing: it does so twice."""
FINDING = 400
"""Steps that the finder of poses learns."""
ROOM = 0.05
"""How much nearer than the empty room, of the whole range, the figure is."""


@dataclass(frozen=True)
class Truth:
    """The figures that no network has seen."""

    example: Example
    images: np.ndarray  # (N, 64, 64, 3)
    points: np.ndarray  # (N, 17, 3)
    heights: np.ndarray  # (N,)
    depth: np.ndarray  # (N, 64, 64), metres
    normals: np.ndarray  # (N, 64, 64, 3)


def dataset(root: Path, first: int, count: int) -> Path:
    """A packed root of figures."""
    if not (root / "shards" / "dataset.json").exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        table = root.with_suffix(".parquet")
        seeds = range(first, first + count)
        urls = [f"http://localhost/{seed}.jpg" for seed in seeds]
        pq.write_table(pa.table({"url": urls, "caption": [caption(s) for s in seeds]}), table)
        build(HERE / "proof_figures.py", [table], root, settings=Settings("local"))
    return root


def train_both(root: Path, out: Path) -> None:
    """Both networks, side by side; each goes on where it was ended."""
    command = [sys.executable, "-m", "humanverse", "train", str(HERE / "proof_training.py")]
    command += ["--data", str(root)]
    alone = {"joint": [], "rgb": ["--set", "network.branches=rgb"]}
    for steps, cooldown in LEGS:
        leg = ["--set", f"optim.steps={steps}", "--set", f"optim.cooldown={cooldown}"]
        train_leg([*command, *leg], alone, out)


def train_leg(command: list[str], alone: dict[str, list[str]], out: Path) -> None:
    """A process a core."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([*command, "--out", str(out / name), *more], env=environment)
        for name, more in alone.items()
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("training failed")


def truth_of(root: Path, painter: Painter) -> Truth:
    """All figures of a root, in order."""
    training = painter.training
    making = Examples(training, painter.autoencoder, painter.text, CPU)
    columns = ["image", "caption", "poses", "pose_map", "boxes", "depth", "normals"]
    with humanverse.open(root, columns) as opened:
        how = {"image_size": 64, "shuffle": False, "tensors": "torch"}
        batch = next(iter(opened.loader(len(opened), **how)))
    poses = np.stack([np.asarray(p)[0, :17] for p in batch["poses"]])
    boxes = np.stack([np.asarray(b)[0] for b in batch["boxes"]])
    return Truth(
        making(batch),
        batch["image"].permute(0, 2, 3, 1).numpy(),
        poses.astype(np.float32),
        boxes[:, 3] - boxes[:, 1],
        batch["depth"].numpy(),
        batch["normals"].permute(0, 2, 3, 1).numpy(),
    )


def finder_of(known: Truth, path: Path) -> Finder:
    """The network that finds poses again, taught once."""
    if path.exists():
        finder = Finder().eval()
        finder.load_state_dict(load_file(path))
        return finder
    finder = taught(known.images, known.points, FINDING)
    save_file(finder.state_dict(), path)
    return finder


def first(given: Given, start: int, stop: int) -> Given:
    """Some of the conditions."""
    return Given(*(getattr(given, name)[start:stop] for name in vars(given)))


def painted_by(painter: Painter, truth: Truth, path: Path) -> dict[str, torch.Tensor]:
    """Samples in the poses of the first figures, (N, 3, 64, 64) of each branch, painted once."""
    if path.exists():
        return load_file(path)
    parts = [
        painter.paint(first(truth.example.given, at, at + 32), range(at, at + 32), (64, 64))
        for at in range(0, SAMPLES, 32)
    ]
    pixels = painter.pixels(torch.cat(parts))
    save_file({name: shown.contiguous() for name, shown in pixels.items()}, path)
    return pixels


@torch.no_grad()
def loss_of(painter: Painter, truth: Truth) -> float:
    """On 128 held-out figures, with noises and times that are always the same, all told."""
    example = truth.example
    keys, latents, given = example.keys[:128], example.latents[:128], first(example.given, 0, 128)
    drawn = draw(keys, 0, latents, painter.training)
    clean, time = painter.levels.scaled(latents), painter.method.times(drawn.uniform)
    losses = flow.loss(painter.network, painter.method, clean, drawn.noise, time, given)
    return losses.sum(1).mean().item()


def shares(samples: dict[str, torch.Tensor], truth: Truth, finder: Finder) -> list[dict]:
    """(b): how many stand as they were told."""
    count, images = len(samples["rgb"]), torch.from_numpy(truth.images)
    real = images.permute(0, 3, 1, 2) / 127.5 - 1
    error = away(finder, real, truth.points, truth.heights)
    found = away(finder, samples["rgb"], truth.points[:count], truth.heights[:count])
    others = np.roll(truth.points[:count], 1, axis=0)
    chance = away(finder, samples["rgb"], others, truth.heights[:count])
    return [
        row("samples in the pose they were told", (found < 0.1).mean(), "share", 0.8),
        row("their joints' distance, mean", found.mean(), "heights", None, "lower"),
        row("the finder's own error on true renders", error.mean(), "heights", None, "lower"),
        row("true renders it finds within a tenth", (error < 0.1).mean(), "share"),
        row("samples in another figure's pose", (chance < 0.1).mean(), "share", None, "lower"),
    ]


def angles(samples: dict[str, torch.Tensor], truth: Truth) -> list[dict]:
    """(c): how far normals that depth tells are from the normals that were painted."""
    near, far = float(truth.depth.min()), float(truth.depth.max())
    out = []
    shown = painted(samples)
    room = truth.depth.max(axis=0)
    nearness = (1 / room - 1 / far) / (1 / near - 1 / far)
    for name, depth, normals in (
        ("samples", geometry.metres(shown.depth, near, far), shown.normals),
        ("true renders", truth.depth[:SAMPLES], truth.normals[:SAMPLES]),
    ):
        apart = geometry.degrees(geometry.normals_of(depth), normals)
        seen = (1 / depth - 1 / far) / (1 / near - 1 / far)
        figure = seen > nearness + ROOM
        goal = 25 if name == "samples" else None
        for where, mask in (("everywhere", figure | True), ("figure", figure), ("room", ~figure)):
            told = f"depth and normals of {name} differ, median, {where}"
            out.append(row(told, np.median(apart[mask]), "degrees", goal, "lower"))
    return out


def nearness_of(joint: torch.Tensor, alone: torch.Tensor, truth: Truth) -> list[dict]:
    """(d): which pictures are nearer to true ones that were not asked for."""
    real = features(torch.from_numpy(truth.images).permute(0, 3, 1, 2) / 127.5 - 1)
    asked, others = real[:SAMPLES], real[SAMPLES:]
    (both, about), (one, about_one) = (kid(features(p), others) for p in (joint, alone))
    least = kid(asked, others)[0]
    error = (about**2 + about_one**2) ** 0.5
    return [
        row("KID of joint training", both, "KID", None, "lower", f"{one:.4f} RGB alone"),
        row("KID of RGB alone", one, "KID", None, "lower"),
        row("KID of true renders", least, "KID", None, "lower"),
        row("how much nearer joint training is", (one - both) / error, "std errors", 2.0),
    ]


def row(
    name: str,
    value: float,
    unit: str,
    goal: float | None = None,
    better: str = "higher",
    peer: str | None = None,
) -> dict:
    """A figure, as benchmarks write them."""
    told = {"name": name, "value": round(float(value), 4), "unit": unit}
    return told | {"goal": goal, "better": better, "peer": peer}


def measured(out: Path, root: Path, held: Path) -> list[dict]:
    """All figures, and a picture of samples."""
    joint, alone = (restored(out / name, CPU) for name in ("joint", "rgb"))
    truth = truth_of(held, joint)
    begun = replace(joint, network=made(joint.training).network)
    start, end = loss_of(begun, truth), loss_of(joint, truth)
    figures = [
        row("held-out loss at the end over that at the start", end / start, "ratio", 0.5, "lower"),
        row("held-out loss at the start", start, "loss", None, "lower"),
        row("held-out loss at the end", end, "loss", None, "lower"),
    ]
    known = truth_of(root, joint)
    finder = finder_of(known, out / "finder.safetensors")
    samples = painted_by(joint, truth, out / "samples-joint.safetensors")
    poses = truth.points
    maps = np.stack([skeleton(np.pad(p[None], ((0, 0), (0, 116), (0, 0))), 64, 64) for p in poses])
    few = painted({name: shown[:8] for name, shown in samples.items()})
    write_png(out / "samples.png", grid(few, maps[:8], truth.images[:8]))
    figures += shares(samples, truth, finder) + angles(samples, truth)
    # RGB alone reads the same conditions; it has no use for the other branches' latents.
    plain = painted_by(alone, truth, out / "samples-rgb.safetensors")
    figures += nearness_of(samples["rgb"], plain["rgb"], truth)
    write_png(out / "samples-rgb.png", grid(painted({"rgb": plain["rgb"][:8]}), maps[:8]))
    return figures


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/train-proof"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    root = dataset(args.out / "figures", 0, TRAINING)
    held = dataset(args.out / "held", FIRST_HELD, HELD)
    train_both(root, args.out)
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    told(measured(args.out, root, held), args.json or args.out / "figures.json")


def told(figures: list[dict], path: Path) -> None:
    """Print the figures, with what was hoped for, and keep them."""
    for figure in figures:
        value, goal, reached = figure["value"], figure["goal"], ""
        if goal is not None:
            fine = value <= goal if figure["better"] == "lower" else value >= goal
            reached = f"goal {goal}: {'reached' if fine else 'not reached'}"
        print(f"{figure['name']:62} {value:10.4f} {figure['unit']:8} {reached}")
    path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
