"""Runs: a unit through its stages, a slice through all units, on one machine or many."""
