"""Whether the intervals of `humanverse estimate` hold, and how well it tells a run's time.

    python benchmarks/estimate.py --json FILE [--repeats 100] [--runs 5]

Coverage: tables are made up anew, with few large hosts and many small ones, each with a yield of
its own, some dead, some down just while a unit is fetched, and duplicates. What a full build keeps
is asked of the very stages, over all units; beside it stand the intervals of an estimate out of 10
units. `--methods` compares other intervals on the same tables, over many draws.

Time: stages that sleep or compute. The estimate, then the full build, on this machine, in turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist, median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import figure, wilson, write

from humanverse import plan
from humanverse.estimate.interval import Interval, quantile, ratio, share
from humanverse.estimate.sample import take_sample
from humanverse.estimate.whole import Prices, whole
from humanverse.filter.people import ChoosePeople
from humanverse.layers.store import Store
from humanverse.pack import Pack
from humanverse.plan import Plan
from humanverse.recipe import Recipe
from humanverse.run.build import Settings, Watcher, build
from humanverse.run.unit import apply
from humanverse.testing.paced import PacedCollect, PacedDetect, PacedLabels
from humanverse.testing.stages import HashDetect

DRAWN = 10


def table(folder: Path, rows: int, seed: int) -> Path:
    """URLs of hosts of very different sizes, a tenth of them twice."""
    random = np.random.default_rng(seed)
    hosts = random.zipf(1.6, rows) % 60
    urls = [f"http://h{host}-{seed}.example.org/{n}.jpg" for n, host in enumerate(hosts)]
    urls += [urls[n] for n in random.integers(0, rows, rows // 10)]
    path = folder / "urls.parquet"
    pq.write_table(pa.table({"url": urls}), path)
    return path


def varied() -> Recipe:
    """Hosts that differ, no labels: yields alone are asked for."""
    return Recipe(
        name="varied",
        plan=Plan(unit_rows=100),
        collect=[PacedCollect(dead=0.1, down=0.25, there=(0.1, 1.0))],
        filter=[HashDetect(), ChoosePeople(min_area=0.1)],
        pack=Pack(units_per_shard=20),
    )


def truth(store: Store, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """(units,): rows kept and planned of every unit, by the stages themselves."""
    kept, rows = [], []
    for unit in plan.units(store):
        state = plan.read_unit(store, unit)
        nulls = pa.nulls(state.num_rows, pa.string())
        state = state.append_column("reason", nulls).append_column("stage", nulls)
        for stage in recipe.stages():
            state = apply(state, stage)
        kept.append(state["reason"].null_count)
        rows.append(unit.rows)
    return np.array(kept), np.array(rows)


def coverage(repeats: int) -> tuple[list[dict], list[tuple[np.ndarray, np.ndarray]]]:
    """How often the estimate's interval holds the truth, and every table's truth by unit."""
    recipe, held, widths, tables, spread = varied(), 0, [], [], []
    begun = time.monotonic()
    for seed in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            root, path = Path(folder) / "root", table(Path(folder), 4000, seed)
            sample = take_sample(recipe, [path], root, DRAWN, seed, Watcher())
            told = whole(sample, Prices(), None)
            kept, rows = truth(Store(root), recipe)
        true = kept.sum() / rows.sum()
        held += told.share.low <= true <= told.share.high
        widths.append((told.share.high - told.share.low) / true)
        expected = true * (1 - true) / rows.mean()
        spread.append(float(np.var(kept / rows) / expected))
        tables.append((kept, rows))
    low, high = wilson(held, repeats)
    seconds = (time.monotonic() - begun) / repeats
    print(
        f"coverage: {held} of {repeats} [{low:.3f}, {high:.3f}], width {median(widths):.2f} of the"
    )
    print(f"  yield; units {median(spread):.1f} times as spread as by chance; {seconds:.1f} s each")
    return [
        figure("yield: intervals that hold the truth", held / repeats, "share", 0.9),
        figure("yield: width of the interval over the yield", median(widths), "ratio"),
        figure("yield: spread of units over chance", median(spread), "ratio"),
    ], tables


Method = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], Interval]


def _t(kept: np.ndarray, rows: np.ndarray, units: int, _: np.random.Generator) -> Interval:
    value = kept.sum() / rows.sum()
    rest = kept - value * rows
    spread = len(kept) / (len(kept) - 1) * (rest @ rest) / rows.sum() ** 2
    reach = quantile(len(kept) - 1) * np.sqrt(spread * (1 - len(kept) / units))
    return Interval(value, value - reach, value + reach)


def _normal(kept: np.ndarray, rows: np.ndarray, units: int, _: np.random.Generator) -> Interval:
    told = _t(kept, rows, units, _)
    factor = NormalDist().inv_cdf(0.975) / quantile(len(kept) - 1)
    reach = (told.high - told.value) * factor
    return Interval(told.value, told.value - reach, told.value + reach)


def _rows(kept: np.ndarray, rows: np.ndarray, _u: int, _: np.random.Generator) -> Interval:
    return Interval(kept.sum() / rows.sum(), *wilson(int(kept.sum()), int(rows.sum())))


def _bootstrap(kept: np.ndarray, rows: np.ndarray, _: int, random: np.random.Generator) -> Interval:
    drawn = random.integers(0, len(kept), (500, len(kept)))
    values = kept[drawn].sum(axis=1) / rows[drawn].sum(axis=1)
    return Interval(kept.sum() / rows.sum(), *np.quantile(values, [0.025, 0.975]))


METHODS: dict[str, Method] = {
    "rows as if drawn one by one (Wilson)": _rows,
    "bootstrap of units, percentiles": _bootstrap,
    "normal, linearised": _normal,
    "Student's t, linearised": _t,
    "Student's t on logarithms": lambda k, n, units, _: ratio(k, n, units),
    "Wilson, effective rows, Student's t (used)": lambda k, n, units, _: share(k, n, units),
}


def methods(tables: list[tuple[np.ndarray, np.ndarray]], draws: int) -> None:
    """Coverage of each method over many draws of the same tables, by number of units drawn."""
    print(f"\n{'method':44}" + "".join(f"{n:>14}" for n in (3, 5, 10, 20)))
    for name, method in METHODS.items():
        cells = []
        for drawn in (3, 5, 10, 20):
            random, held, widths = np.random.default_rng(0), 0, []
            for kept, rows in tables:
                true = kept.sum() / rows.sum()
                for _ in range(draws):
                    some = random.choice(len(kept), drawn, replace=False)
                    told = method(kept[some], rows[some], len(kept), random)
                    held += told.low <= true <= told.high
                    widths.append(told.high - told.low)
            cells.append(f"{held / len(tables) / draws:.3f} ({median(widths):.3f})")
        print(f"{name:44}" + "".join(f"{cell:>14}" for cell in cells))


def paced(kind: str) -> Recipe:
    """Stages that take a time: of a network, of a CPU, or of both."""
    busy = kind != "sleeping"
    fetch = 1.2 if kind != "computing" else 0.02
    return Recipe(
        name="paced",
        plan=Plan(unit_rows=40),
        collect=[PacedCollect(seconds=fetch, spread=0.6, down=0.1, there=(0.3, 1.0))],
        filter=[
            HashDetect(),
            ChoosePeople(min_area=0.1),
            PacedDetect(seconds=0.1, spread=0.4, busy=busy),
        ],
        annotate=[PacedLabels(seconds=0.008, spread=0.4, busy=busy, by_row=True)],
        pack=Pack(units_per_shard=20),
    )


def times(runs: int, units: int) -> list[dict]:
    """An estimate's time over the real one, several runs of each kind."""
    figures = []
    for kind in ("sleeping", "computing", "both"):
        ratios, sizes, held = [], [], 0
        for seed in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                path, recipe = table(Path(folder), units * 40, seed), paced(kind)
                sample = take_sample(
                    recipe, [path], Path(folder) / "a", units // 3, seed, Watcher()
                )
                told = whole(sample, Prices(), None)
                begun = time.monotonic()
                done = build(recipe, [path], Path(folder) / "b", settings=Settings("local"))
                real = time.monotonic() - begun
                on_disk = sum(f.stat().st_size for f in (Path(folder) / "b/shards").glob("0*"))
            seconds = told.here.seconds
            ratios.append(seconds.value / real)
            held += seconds.low <= real <= seconds.high
            sizes.append(told.bytes["shards"].value / on_disk)
            print(
                f"{kind:10} {real:6.1f} s really, {seconds.value:6.1f} told "
                f"[{seconds.low:.1f}, {seconds.high:.1f}]; kept {told.kept.value:.0f} of "
                f"{done.funnel.kept}; waits for {told.here.limit}"
            )
        name = f"time of a local run, {kind}"
        print(f"  off by {median(ratios) - 1:+.1%} (median); {held} of {runs} intervals hold it")
        figures.append(figure(f"{name}: told over real", median(ratios), "ratio", 1.0))
        figures[-1]["band"] = [0.8, 1.2]
        figures.append(figure(f"{name}: bytes of shards told over real", median(sizes), "ratio"))
    return figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--units", type=int, default=50, help="of a run that is timed")
    parser.add_argument("--only", choices=("coverage", "times"))
    parser.add_argument("--methods", type=int, metavar="DRAWS", help="compare them on each table")
    args = parser.parse_args()
    figures: list[dict] = []
    if args.only != "times":
        figures, tables = coverage(args.repeats)
        if args.methods:
            methods(tables, args.methods)
    if args.only != "coverage":
        figures += times(args.runs, args.units)
    write(figures, args.json)


if __name__ == "__main__":
    main()
