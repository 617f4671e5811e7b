"""Annotate: whole-body pose, depth and normals of the pictures that stay."""

from humanverse.annotate.depth import Depth
from humanverse.annotate.faces import BlurFaces
from humanverse.annotate.normals import Normals
from humanverse.annotate.outpaint import Outpaint
from humanverse.annotate.pose import Pose

__all__ = ["BlurFaces", "Depth", "Normals", "Outpaint", "Pose"]
