"""Annotate: whole-body pose, depth, normals and captions of the pictures that stay."""

from humanverse.annotate.caption import Captions
from humanverse.annotate.depth import Depth
from humanverse.annotate.faces import BlurFaces
from humanverse.annotate.normals import Normals
from humanverse.annotate.outpaint import Outpaint
from humanverse.annotate.pose import Pose

__all__ = ["BlurFaces", "Captions", "Depth", "Normals", "Outpaint", "Pose"]
