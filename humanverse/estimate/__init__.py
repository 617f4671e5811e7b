"""What a build will need, told from a few of its units: see `humanverse.estimate.whole`."""
