"""A root with captions that would like to be more than text, and its report."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared import RECIPE

from humanverse.layers.store import Store
from humanverse.report.page import write_report
from humanverse.run.build import Settings, build

HOSTILE = [
    "<script>document.title = 'taken'; alert(1)</script>",
    "\"onerror=\"document.title = 'taken'",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "</title><style>* { display: none }</style>",
    "{{ 7 * 7 }} äöü",
]


@pytest.fixture(scope="session")
def hostile(tmp_path_factory, web):
    """Pictures of rejected rows are kept too."""
    folder = tmp_path_factory.mktemp("hostile")
    captions = [HOSTILE[n % len(HOSTILE)] for n in range(len(web.rows))]
    table = pq.read_table(web.table).set_column(1, "caption", pa.array(captions))
    pq.write_table(table, folder / "t.parquet")
    settings = Settings("local", keep_rejected=True)
    build(RECIPE, [folder / "t.parquet"], folder / "root", settings=settings)
    write_report(Store(folder / "root"), pictures=12)
    return folder / "root"
