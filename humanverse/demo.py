"""The demo: the whole way, on a web of this machine with planted misbehaviour."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from yarl import URL

import humanverse
from humanverse import terminal
from humanverse.errors import UsageError
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.recipe import load_recipe
from humanverse.report.page import write_report
from humanverse.run.build import Outcome, Runner, Settings, build
from humanverse.testing.web import ANY, Web, demo_web


def run(root: Path, runner: Runner) -> int:
    """Build, verify, report, open. Again on the same root it skips what is done."""
    table = root / "input" / "urls.parquet"
    port = URL(pq.read_table(table)["url"][0].as_py()).port if table.is_file() else None
    with demo_web(port=port or 0) as web:
        if port is None:
            _writable(root)
            web.write_table(table)
        print(f"a web of {len(web.rows)} pages on 127.0.0.1:{web.port}, its table in {table}")
        recipe = load_recipe("demo", ["collect.allow_hosts=127.0.0.1"])
        outcome = build(
            recipe,
            [table],
            root,
            settings=Settings(runner, keep_rejected=True),
            watcher=terminal.Progress(),
        )
        code = terminal.finished(outcome, None)
        wrong = _compare(web, root)
    findings = verify(Store(root))
    print("\n".join(findings) or f"verify: all is well in {root}")
    print(f"report: {write_report(Store(root))}")
    _show(root, outcome)
    return 1 if code or wrong or findings else 0


def _writable(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {root}: {error.strerror}") from error


def _compare(web: Web, root: Path) -> int:
    """Each planted page against the ledger; how many have another fate than planned."""
    wrong = 0
    print(f"\n{'planted pages':60}{'planned':19}in the ledger")
    for row, reason, as_planned in web.compare(humanverse.ledger(root)):
        wrong += not as_planned
        if row.fate != ANY or not as_planned:
            mark = "ok" if as_planned else "NOT AS PLANNED"
            planned, found = row.fate or "kept", reason or "kept"
            print(f"  {row.path:24} {row.caption:33} {planned:18} {found:18} {mark}")
    print(f"connections to the private address that redirects point at: {web.canary_contacts}\n")
    return wrong + web.canary_contacts


def _show(root: Path, outcome: Outcome) -> None:
    with humanverse.open(root) as dataset:
        if len(dataset):
            sample = dataset[0]
            print(f"humanverse.open({str(root)!r}): {len(dataset)} samples; the first:")
            for name, value in sample.items():
                shape = f"{value.dtype} {value.shape}" if hasattr(value, "shape") else repr(value)
                print(f"  {name:11} {shape[:80]}")
    print(f"kept {outcome.funnel.kept} of {outcome.funnel.rows} rows")
