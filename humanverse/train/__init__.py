"""A small trainer: pictures, depth and normals learned together, straight from the shards.

The network and the conditions are those of HyperHuman (arXiv 2310.08579) with what is known better
since. torch is imported by the files that need it, and `settings` and `verbs` need none.
"""
