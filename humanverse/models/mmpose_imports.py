"""Importing mmpose 1.3.2 where three of its dependencies cannot be had.

It wants mmcv's compiled operators, which no longer build; one type and one function of mmdet; and
xtcocotools, which is built for NumPy 1. Inference by the models that are taken here needs none of
them, so each is stood in for: by classes that refuse to be made, by those two names, and by
pycocotools, of which xtcocotools is a copy.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final, NoReturn

from humanverse.errors import UsageError

OPERATORS: Final = (
    *("DeformConv2d", "DeformConv2dPack", "ModulatedDeformConv2d", "ModulatedDeformConv2dPack"),
    *("MultiScaleDeformableAttention", "RoIAlign", "RoIPool", "SigmoidFocalLoss"),
    *("batched_nms", "nms", "sigmoid_focal_loss", "soft_nms"),
)
"""Names that mmpose and mmcv import from `mmcv.ops`."""


class CompiledOperator:
    """Stands where mmcv's compiled operators stood."""

    def __init__(self, *_: Any, **__: Any) -> NoReturn:
        raise UsageError("this mmpose model needs mmcv's compiled operators, which cannot be had")


def import_mmpose() -> ModuleType:
    """The package, with stand-ins for what is missing. What is really there is left alone.

    The package alone imports well; it is its parts that need the stand-ins.

    Raises:
        UsageError: it is not installed.
    """
    try:
        _stand_in("mmcv.ops", {name: type(name, (CompiledOperator,), {}) for name in OPERATORS})
        _stand_in("mmdet", {})
        _stand_in("mmdet.utils", {"ConfigType": dict, "reduce_mean": _alone})
        _alias("xtcocotools", "pycocotools")
        return importlib.import_module("mmpose")
    except ImportError as error:
        raise UsageError(f"mmpose cannot be imported ({error}): see docs/mmpose.md") from error


def _stand_in(name: str, contents: dict[str, Any]) -> None:
    """A module of that name, unless there is one that works."""
    try:
        importlib.import_module(name)
    except ImportError:
        module = ModuleType(name)
        # `inspect` asks every module for its file.
        vars(module).update(contents, __file__=__file__, __path__=[])
        sys.modules[name] = module


def _alias(name: str, other: str) -> None:
    try:
        importlib.import_module(f"{name}.mask")
    except (ImportError, ValueError):  # built for another NumPy, it raises a ValueError
        for part in ("", ".coco", ".cocoeval", ".mask"):
            sys.modules[name + part] = importlib.import_module(other + part)


def _alone(value: Any) -> Any:
    """The mean over all workers, of whom there is one."""
    return value
