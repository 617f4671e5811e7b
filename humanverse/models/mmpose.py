"""Whole-body pose by mmpose's SimCC models: RTMW (arXiv 2407.08634), RTMPose (arXiv 2303.07399).

A config and a checkpoint of mmpose build the network; cropping, batching and decoding are done
here, on the device. Both the package and its published weights are under Apache-2.0; what the
weights were trained on has terms of its own (docs/models.md).
"""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.keypoints import COUNT, FLIP
from humanverse.models.base import Image
from humanverse.models.crops import Window, cut, frames_of, placed, windows_of
from humanverse.models.mmpose_imports import import_mmpose
from humanverse.models.simcc import decode_simcc, unmirrored_simcc
from humanverse.models.torched import Engine, How, normalised

if TYPE_CHECKING:
    import torch

CONFIGS: Final = ".mim/configs/wholebody_2d_keypoint"
"""Where the package keeps its whole-body configs."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a config says beside the network itself."""

    shape: tuple[int, int]
    """Width and height of the network's input."""
    split: float
    """SimCC bins a pixel."""
    padding: float
    unbiased: bool
    flip: bool
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    """Of red, green and blue, 0 to 255."""


class MmposeWholeBody:
    """133 keypoints of each person by an mmpose model."""

    def __init__(
        self, config: Path, weights: Path, flip: bool | None = None, how: How | None = None
    ) -> None:
        """Build a config's network and load a checkpoint's state into it.

        `flip` has each person looked at a second time, mirrored; None does as the config says.

        Raises:
            UsageError: the config is no SimCC model of 133 keypoints, or the file no state of it.
        """
        check(config, weights)
        model, spec = build(config)
        load_state(model, weights)
        self._spec = spec
        self._flip = spec.flip if flip is None else flip
        self._engine = Engine(model, how)

    def estimate(
        self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """For boxes (n, 4) of each image, keypoints (n, 133, 3): x, y in pixels, confidence."""
        spec = self._spec
        frames = [frames_of(one, spec.shape, spec.padding) for one in boxes]
        windows = [
            window
            for image, frame in zip(images, frames, strict=True)
            for window in windows_of(image, frame, spec.shape, spec.unbiased)
        ]
        found = self._engine.in_batches(windows, self._step)
        return placed(found, frames)

    def _step(self, windows: Sequence[Window]) -> tuple[torch.Tensor, ...]:
        pixels = cut(self._engine, windows, self._spec.shape, "blend")
        inputs = normalised(pixels, self._spec.mean, self._spec.deviation)
        across, down = self._histograms(inputs)
        if self._flip:
            partners = self._engine.upload(FLIP.copy())
            mirrored = unmirrored_simcc(*self._histograms(inputs.flip(-1)), partners)
            across, down = (across + mirrored[0]) * 0.5, (down + mirrored[1]) * 0.5
        places, scores = decode_simcc(across, down, self._spec.split)
        shape = self._engine.upload(np.array(self._spec.shape, np.float32))
        return places / shape, scores

    def _histograms(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # The package's own name for a forward pass that ends at the head's tensors.
        with _old_libraries():
            across, down = self._engine(inputs, None, mode="tensor")
        return across.float(), down.float()


def config_path(config: Path) -> Path:
    """A config's file: as given, or by the name of one that the installed package brings.

    A name that is neither is given back as it is, and refused by `check`.
    """
    package = find_spec("mmpose")
    if config.is_file() or package is None or package.origin is None:
        return config
    folder = Path(package.origin).parent / CONFIGS
    return next(folder.rglob(f"{config.name.removesuffix('.py')}.py"), config)


def check(config: Path | None, weights: Path | None) -> None:
    """Refuse what cannot work, without building anything.

    Raises:
        UsageError: a file or the package is missing.
    """
    if config is None or weights is None:
        raise UsageError(
            "pose.model=mmpose needs a config and a checkpoint: "
            "--set pose.config=NAME_OR_FILE --set pose.weights=FILE.pth"
        )
    if find_spec("mmpose") is None:
        raise UsageError("pose.model=mmpose needs the package: see docs/mmpose.md")
    if not config_path(config).is_file():
        raise UsageError(f"there is no config {config}, as a file or in mmpose: see docs/models.md")
    if not weights.is_file():
        raise UsageError(f"there is no checkpoint {weights}: see docs/models.md")


def build(config: Path) -> tuple[torch.nn.Module, Spec]:
    """A config's network with random weights, and what else the config says."""
    import_mmpose()
    with _old_libraries():
        from mmengine import Config
        from mmengine.model import revert_sync_batchnorm
        from mmengine.registry import init_default_scope
        from mmpose.models import build_pose_estimator

        read = Config.fromfile(config_path(config))
        spec = spec_of(read, config)
        init_default_scope(read.get("default_scope", "mmpose"))
        # Else the backbone's first weights are fetched from the web.
        read.model.backbone.init_cfg = None
        read.model.train_cfg = None
        return revert_sync_batchnorm(build_pose_estimator(read.model)), spec


def spec_of(read: Any, config: Path) -> Spec:
    """What a config says of its inputs and outputs.

    Raises:
        UsageError: it is of another kind than those decoded here.
    """
    head, before = read.model.get("head", {}), read.model.get("data_preprocessor", {})
    codec = head.get("decoder", {})
    if codec.get("type") != "SimCCLabel" or codec.get("use_dark") or not before.get("bgr_to_rgb"):
        raise UsageError(f"{config} is no SimCC model such as RTMW or RTMPose")
    if head.get("out_channels") != COUNT:
        raise UsageError(f"{config} gives {head.get('out_channels')} keypoints, not {COUNT}")
    steps = {step["type"]: step for step in read.test_dataloader.dataset.pipeline}
    return Spec(
        shape=tuple(codec["input_size"]),
        split=codec.get("simcc_split_ratio", 2.0),
        padding=steps["GetBBoxCenterScale"].get("padding", 1.25),
        unbiased=steps["TopdownAffine"].get("use_udp", False),
        flip=read.model.get("test_cfg", {}).get("flip_test", False),
        mean=tuple(before["mean"]),
        deviation=tuple(before["std"]),
    )


def load_state(model: torch.nn.Module, weights: Path) -> None:
    """Load a checkpoint's state, running none of what a pickle could run.

    Raises:
        UsageError: it holds more than arrays, or another network's state.
    """
    state = _arrays(weights)
    try:
        missing, unknown = model.load_state_dict(state, strict=False)
    except (RuntimeError, AttributeError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise UsageError(f"{weights} is no checkpoint of this model: {why}") from error
    # A published checkpoint may lack what is no weight of inference, never a weight.
    if lost := [name for name in (*missing, *unknown) if not name.startswith("data_preprocessor")]:
        raise UsageError(f"{weights} is no checkpoint of this model: {lost[0]} does not fit")


def _arrays(weights: Path) -> Any:
    """The state in a checkpoint's file, by name."""
    import torch

    try:
        with torch.serialization.safe_globals(list(_numpy_types())):
            held = torch.load(weights, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(f"{weights} is no checkpoint, or holds code beside arrays") from error
    except (RuntimeError, EOFError, struct.error, LookupError, ValueError) as error:
        raise UsageError(f"{weights} is no checkpoint: it cannot be read") from error
    return held.get("state_dict", held) if isinstance(held, dict) else held


def _numpy_types() -> Iterable[Any]:
    """Types without behaviour that published checkpoints hold beside the weights."""
    from numpy._core import multiarray

    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before NumPy 2, and since
        yield multiarray._reconstruct, f"{module}._reconstruct"
        yield multiarray.scalar, f"{module}.scalar"
    yield from (np.ndarray, np.dtype)
    yield from (type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64))


@contextmanager
def _old_libraries() -> Iterator[None]:
    """The package and mmengine use what their dependencies have deprecated since."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
