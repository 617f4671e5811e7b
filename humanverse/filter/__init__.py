"""Filter: which pictures show the people we want. Scores first, thresholds later."""

from humanverse.filter.people import People

__all__ = ["People"]
