"""Annotate: whole-body pose, depth and normals of the pictures that stay."""

from humanverse.annotate.depth import Depth
from humanverse.annotate.normals import Normals
from humanverse.annotate.outpaint import Outpaint
from humanverse.annotate.pose import Pose

__all__ = ["Depth", "Normals", "Outpaint", "Pose"]
