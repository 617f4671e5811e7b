"""Evaluate: how good pictures and poses are, by the measures that papers give."""
