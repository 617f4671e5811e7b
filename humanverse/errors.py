"""Every failure a user can cause, on one screen.

A message is one line that says what is wrong and what to do. The command line prints it and exits
with 2 for a `UsageError` and with 1 for a `DataError`; anything else is a bug and surfaces.
"""


class HumanverseError(Exception):
    """Base of all of ours."""


class UsageError(HumanverseError):
    """Called wrongly: nothing was touched."""


class WeightsMissing(UsageError):
    """A model's weight file cannot be had here."""


class DataError(HumanverseError):
    """What is on disk is not what it should be."""
