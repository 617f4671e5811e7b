"""A whole build on real photographs: does it keep what it should, and does its ledger sum.

    python benchmarks/real_photos.py --photos FOLDER --json figures.json

FOLDER holds `index.jsonl` with true person boxes and the photographs it names. They are served from
this machine and built with the lite models. An image should be kept where it truly shows one to
three people who cover at least 15 % of it. Thresholds were tuned on `coco128`; `coco_mini` is what
counts. Beside it stands what rejecting everything would score.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from common import decisions, labelled_photos, wanted, write

import humanverse
from humanverse.layers.ledger import funnel
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.testing.web import ANY, Row, Web, serve

SETS = ("coco128", "coco_mini")
GOAL = 0.92


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    subsets = labelled_photos(options.photos)
    photos = [row for name in SETS for row in subsets[name]]
    with tempfile.TemporaryDirectory() as folder:
        ledger = built(options.photos, photos, Path(folder), options.assignments)
    statuses = dict(zip(ledger["row"].to_pylist(), ledger["status"].to_pylist(), strict=True))
    figures = []
    for name in SETS:
        numbers = [n for n, row in enumerate(photos) if row["file"].startswith(name)]
        truth = [truly_wanted(photos[n]) for n in numbers]
        kept = [statuses[n] == "kept" for n in numbers]
        figures += decisions(name, np.array(truth), np.array(kept), GOAL)
    write(figures, options.json)


def built(folder: Path, photos: list[dict], root: Path, assignments: list[str]) -> pa.Table:
    """The ledger of a build of the photographs, after its sums were checked."""
    recipe = load_recipe("demo", ["collect.allow_hosts=127.0.0.1", *assignments])
    with photo_web(folder, photos) as web:
        web.write_table(root / "input" / "urls.parquet")
        build(recipe, [root / "input" / "urls.parquet"], root, settings=Settings("local"))
    counts, ledger = funnel(Store(root)), humanverse.ledger(root)
    total = counts.kept + sum(counter.total() for counter in counts.reasons.values())
    findings = verify(Store(root))
    print(f"ledger: {ledger.num_rows} rows, kept and reasons add up to {total} of {len(photos)}")
    print("\n".join(findings) or "verify: all is well")
    if findings or total != len(photos) or ledger.num_rows != len(photos):
        raise SystemExit(1)
    return ledger


def photo_web(folder: Path, photos: list[dict]) -> Web:
    rows = [Row(f"/{photo['file']}", "", ANY) for photo in photos]
    pages = {row.path: serve((folder / row.path[1:]).read_bytes()) for row in rows}
    return Web(pages, rows)


def truly_wanted(photo: dict) -> bool:
    return wanted(photo["person_boxes_xyxy"], photo["width"], photo["height"])


if __name__ == "__main__":
    main()
