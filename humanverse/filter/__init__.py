"""Filter: which pictures show the people we want. Scores first, thresholds later."""

from humanverse.filter.people import People
from humanverse.filter.quality import Quality

__all__ = ["People", "Quality"]
