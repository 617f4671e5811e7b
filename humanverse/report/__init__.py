"""Report: one static page, with the funnel, how it went, and what was kept and what was not."""
