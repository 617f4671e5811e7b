"""The lite detector and pose estimator, and photographs that ship in installed packages."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanverse.errors import WeightsMissing
from humanverse.models.blaze import BlazePoseDetector, BlazePoseWholeBody


def made(model):
    """A model, where its weights are at hand: tests fetch nothing."""
    try:
        return model()
    except WeightsMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def detector():
    return made(BlazePoseDetector)


@pytest.fixture(scope="session")
def estimator():
    return made(BlazePoseWholeBody)


def picture(path):
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.fixture(scope="session")
def astronaut():
    """A portrait of one woman, 512 x 512."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return data.astronaut()


@pytest.fixture(scope="session")
def zidane():
    """Two men, 1280 x 720."""
    package = find_spec("ultralytics")
    if package is None or package.origin is None:
        pytest.skip("ultralytics, which ships the photograph, is not installed")
    return picture(Path(package.origin).parent / "assets" / "zidane.jpg")
