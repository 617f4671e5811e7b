"""Models behind small protocols: one file a model, weights through the store."""
