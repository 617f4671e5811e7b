"""BlazePose (arXiv 2006.10204) without MediaPipe: its networks, with NumPy and OpenCV around."""

from humanverse.models.blaze.people import BlazePoseDetector
from humanverse.models.blaze.wholebody import BlazePoseWholeBody

__all__ = ["BlazePoseDetector", "BlazePoseWholeBody"]
