"""A whole build on real photographs: does it keep what it should, and does its ledger sum.

    python benchmarks/real_photos.py --photos FOLDER --json figures.json

FOLDER holds `index.jsonl` with true person boxes and the photographs it names. They are served from
this machine and built with the lite models. An image should be kept where it truly shows one to
three people who cover at least 15 % of it. Thresholds were tuned on `coco128`; `coco_mini` is what
counts. Beside it stands what rejecting everything would score.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

import humanverse
from humanverse.filter.coverage import coverage
from humanverse.layers.ledger import funnel
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.run.build import Settings, build
from humanverse.testing.web import ANY, Row, Web, serve

DEMO = Path(__file__).parent.parent / "pipelines" / "demo.py"
SETS = ("coco128", "coco_mini")
LEAST = 0.15
Z = 1.96
"""Of a 95 % interval."""


def wilson(hits: int, number: int) -> tuple[float, float]:
    """95 % interval of a share."""
    if number == 0:
        return 0.0, 1.0
    share = hits / number
    spread = Z * math.sqrt(share * (1 - share) / number + Z * Z / (4 * number * number))
    middle, scale = share + Z * Z / (2 * number), 1 + Z * Z / number
    return (middle - spread) / scale, (middle + spread) / scale


def truly_wanted(photo: dict) -> bool:
    boxes = np.asarray(photo["person_boxes_xyxy"], np.float32).reshape(-1, 4)
    area = coverage(boxes, photo["width"], photo["height"], "union")
    return 1 <= len(boxes) <= 3 and area >= LEAST


def read_index(folder: Path) -> list[dict]:
    photos = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    return [p for p in photos if p["file"].startswith(SETS) and not p.get("dup_of")]


def photo_web(folder: Path, photos: list[dict]) -> Web:
    rows = [Row(f"/{photo['file']}", "", ANY) for photo in photos]
    pages = {row.path: serve((folder / row.path[1:]).read_bytes()) for row in rows}
    return Web(pages, rows)


def built(folder: Path, photos: list[dict], root: Path, assignments: list[str]) -> pa.Table:
    """The ledger of a build of the photographs, after its sums were checked."""
    recipe = load_recipe(DEMO, ["collect.allow_hosts=127.0.0.1", *assignments])
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


def agreement(photos: list[dict], kept: dict[int, bool], name: str) -> list[dict]:
    """Figures of one set, printed and as rows."""
    pairs = [(truly_wanted(p), kept[n]) for n, p in enumerate(photos) if p["file"].startswith(name)]
    wanted, chosen = sum(w for w, _ in pairs), sum(k for _, k in pairs)
    both = sum(w and k for w, k in pairs)
    always = (len(pairs) - wanted) / len(pairs)
    shares = {
        "agreement": (sum(w == k for w, k in pairs), len(pairs)),
        "precision": (both, chosen),
        "recall": (both, wanted),
    }
    rows = []
    for what, (hits, number) in shares.items():
        low, high = wilson(hits, number)
        value = hits / number if number else float("nan")
        print(f"{name:10} {what:10} {value:.3f}  [{low:.3f}, {high:.3f}]  {hits} of {number}")
        peer = f"always reject {always:.3f}" if what == "agreement" else ""
        goal = 0.92 if what == "agreement" else None
        rows.append(
            {"name": f"{name} {what}", "value": value, "unit": "share", "goal": goal}
            | {"better": "higher", "peer": peer}
        )
    print(f"{name:10} always reject would agree on {always:.3f}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    photos = read_index(args.photos)
    with tempfile.TemporaryDirectory() as folder:
        ledger = built(args.photos, photos, Path(folder), args.assignments)
    statuses = dict(zip(ledger["row"].to_pylist(), ledger["status"].to_pylist(), strict=True))
    kept = {row: status == "kept" for row, status in statuses.items()}
    figures = [figure for name in SETS for figure in agreement(photos, kept, name)]
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
