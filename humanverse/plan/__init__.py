"""Plan: every row of the tables gets a key, and a unit of work; see `humanverse.plan.make`."""

from humanverse.plan.again import Replaced, plan_again, read_replaced
from humanverse.plan.make import asks_web, make_plan
from humanverse.plan.remote import input_at
from humanverse.plan.settings import Plan
from humanverse.plan.units import (
    Unit,
    Units,
    manifest_names,
    manifests,
    read_unit,
    read_unplanned,
    units,
)

__all__ = [
    "Plan",
    "Replaced",
    "Unit",
    "Units",
    "asks_web",
    "input_at",
    "make_plan",
    "manifest_names",
    "manifests",
    "plan_again",
    "read_replaced",
    "read_unit",
    "read_unplanned",
    "units",
]
