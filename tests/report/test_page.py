"""The report tells what became of the rows, and shows some of them."""

import re
import shutil
from collections import Counter

import numpy as np
import obstore
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from obstore.store import from_url
from shared import HERE, rows_of, url_table

import humanverse
from humanverse.cli import main
from humanverse.layers.store import Store
from humanverse.report.distributions import BINS, _counted, _plotted
from humanverse.report.page import write_report
from humanverse.run.build import Settings, build
from humanverse.testing.objects import bucket


def page_of(root):
    return (root / "report" / "index.html").read_text()


def test_the_funnel_has_every_reason_with_its_rows(hostile):
    page = page_of(hostile)
    counts = Counter(row["reason"] for row in humanverse.ledger(hostile).to_pylist())
    for reason, rows in counts.items():
        if reason is not None:
            assert re.search(rf"− {reason}</td><td class=\"number\">{rows}</td>", page)
    assert f"<b>{counts[None]}</b>kept" in page


def test_kept_pictures_have_pages_of_their_own_that_tell_all(hostile):
    keys = {path.stem for path in (hostile / "report" / "samples").iterdir()}
    assert len(keys) == min(12, len(humanverse.open(hostile)))
    assert keys <= {row["key"] for row in rows_of(hostile)}
    for key in keys:
        assert f'href="samples/{key}.html"' in page_of(hostile)
        page = (hostile / "report" / "samples" / f"{key}.html").read_text()
        sample = humanverse.open(hostile)[key]
        assert sample["meta"]["url"] in page
        assert sample["meta"]["sha256"] in page
        shown = re.findall(r'src="../(pictures/[^"]+)"', page)
        assert len(shown) == 4
        assert all((hostile / "report" / name).stat().st_size for name in shown)


def test_rejected_rows_are_shown_by_reason_with_their_pictures(hostile):
    page = page_of(hostile)
    rejected = rows_of(hostile, "rejected")
    shown = {path.stem for path in (hostile / "report" / "rejected").iterdir()}
    assert shown
    assert shown <= {row["key"] for row in rejected if row["unit"] is not None}
    for reason in {row["reason"] for row in rejected}:
        group = page.partition(f'data-group="{reason}"')[2].partition("</section>")[0]
        count = sum(row["reason"] == reason for row in rejected)
        assert len(re.findall("<figure", group)) == min(4, count)
        assert group.count("<img") == min(4, count)


def test_captions_stay_text(hostile):
    pages = [page_of(hostile), *(p.read_text() for p in (hostile / "report/samples").iterdir())]
    for page in pages:
        assert page.count("<script") == ("filter" in page.partition("<body>")[2])
        assert '"onerror=' not in page
        assert "<img src=x" not in page
        assert "<style>*" not in page
    assert any("{{ 7 * 7 }} äöü" in page for page in pages)


def test_what_a_report_shows_no_more_is_removed(hostile, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(hostile, root)
    write_report(Store(root), pictures=2, seed=5)
    folder = root / "report"
    assert len(list((folder / "samples").iterdir())) == 2
    assert len(list((folder / "pictures").iterdir())) == 2 * 5
    page = page_of(root)
    assert all(f"rejected/{path.name}" in page for path in (folder / "rejected").iterdir())


def test_the_same_seed_shows_the_same(hostile, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(hostile, root)
    write_report(Store(root), pictures=12)
    made, before = (
        {p.name: p.read_bytes() for p in (folder / "report").rglob("*.jpg")}
        for folder in (root, hostile)
    )
    assert made == before


def test_what_stages_took_is_told(hostile):
    speeds = page_of(hostile).partition('id="speed"')[2].partition("</table>")[0]
    for stage in ("collect", "detect", "people", "labels"):
        assert f"<td>{stage}</td>" in speeds


def test_a_root_that_is_not_packed_or_not_begun_has_a_report(tmp_path, capsys):
    recipe, table, root = HERE / "recipes" / "made_up.py", url_table(tmp_path, 9), tmp_path / "r"
    assert main(["plan", str(recipe), "--input", str(table), "--out", str(root)]) == 0
    assert main(["report", str(root)]) == 0
    assert "9 rows are pending" in page_of(root)
    build(recipe, [], root, settings=Settings("local", limit=4), packed=False)
    assert main(["report", str(root)]) == 0
    assert "5 rows are pending" in page_of(root)
    assert capsys.readouterr().out.strip().endswith(f"{root}/report/index.html")


# moto and flask, in a thread of their own here, are not ours to keep tidy.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_report_in_a_bucket_is_a_page_and_pictures_for_a_browser(tmp_path, monkeypatch):
    with bucket(monkeypatch.setenv) as s3:
        url = s3.url(tmp_path.name)
        build(HERE / "recipes" / "made_up.py", [url_table(tmp_path, 9)], url)
        assert write_report(Store(url), pictures=1) == f"{url}/report/index.html"
        files = from_url(f"{url}/report")
        kinds = {"index.html": "text/html; charset=utf-8"}
        key = Store(url).names("report/samples")[0].removesuffix(".html")
        kinds[f"pictures/{key}.jpg"] = "image/jpeg"
        for name, kind in kinds.items():
            assert obstore.get(files, name).attributes["Content-Type"] == kind


FLOATS = st.floats(-1e6, 1e6) | st.just(float("nan"))


@given(arrays(np.float64, st.integers(0, 60), elements=FLOATS), st.randoms())
def test_a_histogram_counts_every_known_value_once(values, random):
    kept = np.array([random.random() < 0.5 for _ in values], bool)
    plots = list(_plotted("x", "y", values, kept))
    known = np.isfinite(values)
    assert len(plots) == bool(known.any())
    for plot in plots:
        assert len(plot.bars) == BINS
        assert sum(bar.kept for bar in plot.bars) == (known & kept).sum()
        assert sum(bar.others for bar in plot.bars) == (known & ~kept).sum()
        assert max(bar.to for bar in plot.bars) == 1
        assert all(0 <= bar.from_below <= bar.to <= 1 for bar in plot.bars)


@given(st.lists(st.none() | st.integers(0, 40), max_size=80))
def test_bars_with_names_count_every_known_value_once(values):
    kept = np.arange(len(values)) % 2 == 0
    column = pa.chunked_array([pa.array(values, pa.int32())])
    for plot in _counted("x", "y", column, kept):
        assert len(plot.bars) <= BINS
        total = sum(bar.kept + bar.others for bar in plot.bars)
        assert total == sum(value is not None for value in values)
