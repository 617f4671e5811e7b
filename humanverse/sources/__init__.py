"""Where rows come from: published tables, tables of one's own, and images at hand."""

from humanverse.sources.coyo import COYO_700M
from humanverse.sources.laion import LAION_2B_EN, LAION_400M, RELAION_2B_EN
from humanverse.sources.table import TABLE, Source

SOURCES: tuple[Source, ...] = (RELAION_2B_EN, COYO_700M, LAION_2B_EN, LAION_400M, TABLE)
"""In the order they are tried: the most particular signature first."""

__all__ = ["SOURCES", "Source"]
