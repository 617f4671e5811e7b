"""Labels a second: our stages, the same networks' bare forward passes, and the libraries' loops.

    python benchmarks/annotate.py --json annotate.json
    python benchmarks/annotate.py --device cuda --published --pictures 512 --batch 64 --cpus 8

One run does all three in turn, several times over, on the same weights and JPEGs. Ours goes from
JPEGs to encoded columns; bare is what the networks alone take for the inputs that ours gave them,
batch by batch; the loop decodes a picture, asks the library, and takes the next. On a CPU every
network has one thread. On a GPU FLOP are counted and held against what the card can do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from unittest.mock import patch

import cv2
import numpy as np
import pyarrow as pa
import torch
from common import figure, write
from networks import Subject, subjects
from torch.utils.flop_counter import FlopCounterMode

from humanverse.codec import encode_jpeg
from humanverse.models.torched import Engine
from humanverse.testing.scenes import render

NEAR = 0.9
"""Of the bare rate, on a CPU."""
SHARE = 0.55
"""Of the card's FLOP, for all together."""
SIZES = ((640, 480), (512, 512), (768, 1024), (1024, 683))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--published", action="store_true", help="networks of published size")
    parser.add_argument("--tflops", type=float, default=790, help="of the card, in bf16")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
    names = ("device", "batch", "cpus", "precision", "compiled", "channels_last")
    how = {name: getattr(options, name) for name in names}
    batch = pictures(options.pictures)
    figures, sums = [], np.zeros(4)
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects(Path(folder), how, options.published):
            seconds, flop = measured(subject, batch, options.rounds)
            figures += told(subject.name, options, seconds, flop)
            sums += [*seconds, flop]
    figures += told("all together", options, sums[:3], sums[3])
    write(figures, options.json)


def pictures(number: int) -> pa.Table:
    """Rendered people as JPEGs of several sizes, with their boxes."""
    rows = []
    for index in range(number):
        width, height = SIZES[index % len(SIZES)]
        scene = render(index, width // 2, height // 2, people=1 + index % 2)
        pixels = cv2.resize(scene.image, (width, height), interpolation=cv2.INTER_CUBIC)
        boxes = (scene.boxes * 2).tolist()
        rows.append({"key": f"{index:032x}", "image": encode_jpeg(pixels, 92)})
        rows[-1]["person_boxes"] = boxes
    return pa.Table.from_pylist(rows)


def measured(subject: Subject, batch: pa.Table, rounds: int) -> tuple[Sequence[float], float]:
    """Seconds of ours, the bare networks and the loop, median of some rounds, and FLOP of ours."""
    stage = subject.stage
    stage.open()
    calls: list[tuple] = []
    inner = Engine.__call__

    def noting(engine: Engine, *inputs: object, **named: object) -> object:
        calls.append((engine, inputs, named))
        return inner(engine, *inputs, **named)

    with patch.object(Engine, "__call__", noting), FlopCounterMode(display=False) as counter:
        stage(batch)

    def ours() -> None:
        for start in range(0, batch.num_rows, stage.batch_rows):
            stage(batch.slice(start, stage.batch_rows))

    def bare() -> None:
        with torch.inference_mode():
            for engine, inputs, named in calls:
                engine(*inputs, **named)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def loop() -> None:
        for jpeg, boxes in zip(batch["image"], batch["person_boxes"], strict=True):
            image = cv2.imdecode(np.frombuffer(jpeg.as_py(), np.uint8), cv2.IMREAD_COLOR)
            subject.reference(image, np.asarray(boxes.as_py(), np.float32))

    ways = (ours, bare, loop)
    for way in ways:
        way()
    taken = [[timed(way) for way in ways] for _ in range(rounds)]
    return [median(column) for column in zip(*taken, strict=True)], counter.get_total_flops()


def timed(way: Callable[[], None]) -> float:
    """Seconds that something takes."""
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin


def told(name: str, options: argparse.Namespace, seconds: Sequence[float], flop: float) -> list:
    """Print, and give as figures."""
    ours, bare, loop = (options.pictures / one for one in seconds)
    each = flop / options.pictures
    share = each * ours / (options.tflops * 1e12)
    print(
        f"{name:26} {ours:8.1f} pictures/s, {ours / bare:5.2f} of bare, {ours / loop:5.2f} x the "
        f"loop, {each / 1e9:7.1f} GFLOP a picture",
        flush=True,
    )
    goal = NEAR if options.device == "cpu" else None
    rows = [
        figure(f"{name}: rate", ours, "pictures/s", peer=f"loop {loop:.2f}/s"),
        figure(f"{name}: of the bare networks' rate", ours / bare, "share", goal),
        figure(f"{name}: against the library's loop", ours / loop, "x"),
    ]
    if options.device != "cpu":
        ceiling = f"{options.tflops * 1e12 / each:.0f} pictures/s"
        goal = SHARE if name == "all together" else None
        rows.append(figure(f"{name}: of the card's FLOP", share, "share", goal, peer=ceiling))
    return rows


if __name__ == "__main__":
    main()
