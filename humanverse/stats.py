"""Questions to the ledger: ready ones, what other thresholds would keep, any of your own in SQL.

The table is called `ledger`, has the columns of `schema.LEDGER`, and DuckDB answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa

from humanverse.errors import UsageError
from humanverse.layers.ledger import ledger, recipe_of
from humanverse.layers.store import Store

MEMORY: Final = "1GB"
"""For DuckDB; what needs more goes to disk."""

HOST: Final = "regexp_extract(url, '^[a-z]+://(?:[^/@]*@)?([^/:?#]+)', 1)"
_GOT: Final = "(status <> 'pending' AND (stage IS NULL OR stage NOT IN ('plan', $collect)))"
"""Whether the picture could be had and used."""
_KEPT: Final = (
    "count(*) FILTER (status = 'kept') AS kept, "
    "round(100 * avg((status = 'kept')::INT), 2) AS kept_percent"
)
_COUNTS: Final = f"count(*) AS rows, {_KEPT}"


@dataclass(frozen=True, slots=True)
class Question:
    """A ready one."""

    doc: str
    sql: str


QUESTIONS: Final = {
    "outcomes": Question(
        "what became of the rows",
        "SELECT status, stage, reason, count(*) AS rows, "
        "round(100 * count(*) / sum(count(*)) OVER (), 2) AS percent "
        "FROM ledger GROUP BY ALL ORDER BY rows DESC, stage, reason",
    ),
    "sources": Question(
        "yield of each source and file",
        f"SELECT source, file, {_COUNTS} FROM ledger GROUP BY ALL ORDER BY rows DESC, source, file",
    ),
    "hosts": Question(
        "yield of each host, and how many of its pictures could be had",
        f"SELECT {HOST} AS host, count(*) AS rows, "
        f"round(100 * avg({_GOT}::INT), 2) AS had_percent, {_KEPT}, "
        "mode(reason) FILTER (status <> 'kept') AS commonest_reason "
        "FROM ledger WHERE url IS NOT NULL AND stage IS DISTINCT FROM 'plan' "
        "GROUP BY host ORDER BY rows DESC, host",
    ),
    "statuses": Question(
        "answers of the web, by HTTP status",
        f"SELECT http_status, count(*) AS rows, "
        f"round(100 * avg({_GOT}::INT), 2) AS had_percent, "
        "mode(reason) FILTER (status <> 'kept') AS commonest_reason "
        "FROM ledger WHERE url IS NOT NULL AND status <> 'pending' "
        "AND stage IS DISTINCT FROM 'plan' GROUP BY http_status ORDER BY rows DESC, http_status",
    ),
    "sizes": Question(
        "yield by the shorter side, in pixels as served",
        "SELECT 128 * floor(least(original_width, original_height) / 128)::INT AS side_from, "
        f"{_COUNTS} FROM ledger WHERE original_width IS NOT NULL GROUP BY ALL ORDER BY ALL",
    ),
    "formats": Question(
        "yield by format",
        f"SELECT format, {_COUNTS} FROM ledger WHERE format IS NOT NULL "
        "GROUP BY ALL ORDER BY rows DESC, format",
    ),
    "people": Question(
        "pictures by number of people",
        "SELECT person_count, count(*) AS rows, count(*) FILTER (status = 'kept') AS kept, "
        "round(avg(person_area), 3) AS mean_share_of_frame "
        "FROM ledger WHERE person_count IS NOT NULL GROUP BY ALL ORDER BY ALL",
    ),
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score that decides, and the reason of what it rejects."""

    reason: str
    least: bool
    """Whether rows are kept from the threshold upwards, rather than up to it."""


THRESHOLDS: Final = {
    "person_area": Threshold("people_too_small", least=True),
    "aesthetic": Threshold("low_aesthetic", least=True),
    "text_similarity": Threshold("caption_mismatch", least=True),
    "nsfw_score": Threshold("unsafe", least=False),
    "watermark_score": Threshold("watermark", least=False),
}


class Stats:
    """A root's ledger, to be asked."""

    def __init__(self, store: Store, table: pa.Table | None = None) -> None:
        """Read the ledger, unless it was read already.

        Raises:
            UsageError: the folder is no root.
        """
        self.table = ledger(store) if table is None else table
        self._collect = recipe_of(store)["stages"][0]["name"]
        self._db = duckdb.connect(config={"memory_limit": MEMORY})
        self._db.register("ledger", self.table)

    def ask(self, name: str, limit: int | None = None) -> pa.Table:
        """The answer to a ready question.

        Args:
            name: of `QUESTIONS`.
            limit: rows at most.

        Raises:
            UsageError: there is no such question.
        """
        if name not in QUESTIONS:
            raise UsageError(f"no question {name}: choose of {', '.join(QUESTIONS)}, or give --sql")
        text = QUESTIONS[name].sql.replace("$collect", f"'{_quoted(self._collect)}'")
        return self._run(text + (f" LIMIT {limit}" if limit else ""))

    def sql(self, text: str) -> pa.Table:
        """The answer to a question of one's own.

        Raises:
            UsageError: DuckDB cannot answer it.
        """
        return self._run(text)

    def what_if(self, column: str, values: Sequence[float]) -> pa.Table:
        """What other thresholds on a score would keep.

        `kept` are samples of today that would stay. `returning` are rows that were rejected for
        this score alone and would pass: at most so many would be kept, for what comes after has not
        seen them. `expected` reckons that of those as many stay as did of the rows that passed.

        Args:
            column: of `THRESHOLDS`.
            values: the thresholds.

        Raises:
            UsageError: no threshold is on such a score.
        """
        if column not in THRESHOLDS:
            raise UsageError(f"no threshold on {column}: choose of {', '.join(THRESHOLDS)}")
        known = THRESHOLDS[column]
        passes = f"{column} {'>=' if known.least else '<='} t"
        reason = f"reason IS NOT DISTINCT FROM '{known.reason}'"
        stage = f"(SELECT any_value(stage) FROM ledger WHERE {reason})"
        later = f"({column} IS NOT NULL AND status <> 'pending' "
        later += f"AND coalesce(stage, '') IS DISTINCT FROM {stage})"
        told = ", ".join(f"({value!r}::DOUBLE)" for value in map(float, values))
        stay, back = f"status = 'kept' AND {passes}", f"{reason} AND {passes}"
        return self._run(
            f"WITH t AS (SELECT * FROM (VALUES {told}) AS t(t)), "
            "share AS (SELECT coalesce(count_if(status = 'kept') / "
            f"nullif(count_if({later}), 0), 0) AS s FROM ledger) "
            f"SELECT t AS {column}, count(*) FILTER ({stay}) AS kept, "
            f"count(*) FILTER ({back}) AS returning, "
            f"round(count_if({stay}) + any_value(s) * count_if({back}))::BIGINT AS expected "
            "FROM ledger, t, share GROUP BY t ORDER BY t"
        )

    def _run(self, text: str) -> pa.Table:
        try:
            answer = self._db.sql(text)
            if answer is None:
                raise UsageError("--sql: a question is wanted, such as SELECT ... FROM ledger")
            return answer.to_arrow_table()
        except duckdb.Error as error:
            raise UsageError(f"DuckDB: {str(error).splitlines()[0]}") from error


def _quoted(text: str) -> str:
    return text.replace("'", "''")
