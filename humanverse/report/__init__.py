"""Report: one static page, with the funnel and what was kept."""

from humanverse.report.page import write_report

__all__ = ["write_report"]
