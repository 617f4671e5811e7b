"""Real photographs that lie inside installed packages, and variations of them.

Nothing is shipped or fetched: scikit-image, matplotlib and ultralytics bring these files. The
packages are not imported for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError

WITH_PEOPLE = {
    "astronaut": ("skimage", "data/astronaut.png", "an astronaut in an orange suit, smiling"),
    "admiral": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "a portrait in uniform"),
    "coaches": ("ultralytics", "assets/zidane.jpg", "two men at the side of a football pitch"),
    "bus": ("ultralytics", "assets/bus.jpg", "people walking past a bus in a city"),
}
WITHOUT_PEOPLE = {
    "cat": ("skimage", "data/chelsea.png", "a tabby cat"),
    "coffee": ("skimage", "data/coffee.png", "a cup of coffee on a wooden table"),
    "rocket": ("skimage", "data/rocket.jpg", "a rocket on its launch pad"),
    "motorcycle": ("skimage", "data/motorcycle_left.png", "a motorcycle in a workshop"),
    "retina": ("skimage", "data/retina.jpg", "a retina"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg", "galaxies, far away"),
}


@dataclass(frozen=True, slots=True)
class Photo:
    """One photograph, or a variation of one."""

    name: str
    caption: str
    pixels: NDArray[np.uint8]
    """(H, W, 3), sRGB."""


def photograph(name: str) -> Photo:
    """A photograph by name, as it lies in its package.

    Raises:
        UsageError: the package is not installed.
    """
    package, file, caption = (WITH_PEOPLE | WITHOUT_PEOPLE)[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"the photograph {name} lies in {package}: pip install 'humanverse[demo]'")
    pixels = cv2.imread(str(Path(spec.origin).parent / file), cv2.IMREAD_COLOR_RGB)
    return Photo(name, caption, np.asarray(pixels, np.uint8))


def variations(seed: int, number: int) -> Iterator[Photo]:
    """Crops, flips and scalings: three of four show people, and most of those a large part of one.

    The same seed gives the same pictures.
    """
    random = np.random.default_rng(seed)
    groups = [[photograph(name) for name in names] for names in (WITH_PEOPLE, WITHOUT_PEOPLE)]
    for index in range(number):
        group = groups[int(random.random() < 0.25)]
        yield _varied(group[int(random.integers(len(group)))], index, random)


def _varied(photo: Photo, index: int, random: np.random.Generator) -> Photo:
    pixels = photo.pixels
    height, width = pixels.shape[:2]
    share = random.uniform(0.8, 1.0)
    crop_height, crop_width = int(height * share), int(width * share)
    top, left = random.integers(height - crop_height + 1), random.integers(width - crop_width + 1)
    pixels = pixels[top : top + crop_height, left : left + crop_width]
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    # By the shorter side, so that no picture is rejected for its size alone.
    scale = random.uniform(240, 400) / min(crop_height, crop_width)
    size = (round(crop_width * scale), round(crop_height * scale))
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return Photo(f"{photo.name}-{index:03d}", photo.caption, np.asarray(small, np.uint8))
