"""Runs that were not made: how long units take on workers that there may be one day.

`local` is the local runner's loop, `cluster` the Ray runner's pools and waves, `times` what units
take. Measured beside real runs by `benchmarks/simulation.py`.
"""
