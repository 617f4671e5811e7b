"""Doubles that ship with the package: rendered people with true labels, a web to fetch from."""
