"""The camera convention of normals, and those that networks were trained in.

Ours, as docs/normals.png shows it: +X to the right, +Y up, +Z towards the viewer. A surface that
faces the viewer is (0, 0, 1), a floor (0, 1, 0), a wall on the left that faces right (1, 0, 0).
"""

from __future__ import annotations

from typing import Final

Axes = tuple[int, int, int]
"""Signs by which a source's X, Y and Z are multiplied to be ours."""

OURS: Final[Axes] = (1, 1, 1)
OMNIDATA: Final[Axes] = (1, -1, 1)
"""+Y is down. Its authors: "+X right, +Y down, +Z from screen to me", as in 2D-3D-S
(github.com/EPFL-VILAB/omnidata/issues/13)."""
OPENCV: Final[Axes] = (1, -1, -1)
"""+Y is down, +Z away from the viewer."""
SAPIENS: Final[Axes] = OURS
"""Not stated by its authors, who say "camera coordinates, XYZ"; next to Metric3D's, which are
OpenCV's, its Y and Z are reversed (github.com/facebookresearch/sapiens/issues/50)."""
