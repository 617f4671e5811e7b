"""Networks with seeded random weights in files as their libraries save them, and how each library
itself runs them, picture by picture.

What weights say changes neither the work that a network is nor the work around it.
"""

from __future__ import annotations

import importlib.metadata
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
import transformers

from humanverse.annotate import Depth, Normals, Pose
from humanverse.filter.people import DetectPeople
from humanverse.inference import Inference

BGR = Callable[[np.ndarray, np.ndarray], object]
"""What a library does with one picture, blue first, and the boxes (n, 4) of its people."""


@dataclass(frozen=True)
class Subject:
    """One model: our stage, and the library's own way."""

    name: str
    stage: Inference
    reference: BGR


def subjects(folder: Path, how: dict, published: bool) -> Iterator[Subject]:
    """Every kind of model; of published size, or of one that a CPU bears."""
    yield yolo(folder, how, "yolo11m" if published else "yolo11n")
    yield rtmw(folder, how, large=published)
    yield depth_anything(folder, how, large=published)
    yield sapiens(folder, how, large=published)


def yolo(folder: Path, how: dict, kind: str) -> Subject:
    """Detection at 640."""
    from humanverse.models.ultralytics import _isolate

    _isolate()
    from ultralytics import YOLO

    torch.manual_seed(0)
    path = folder / f"{kind}.pt"
    YOLO(f"{kind}.yaml", task="detect").save(path)
    package, device = YOLO(str(path), task="detect"), how["device"]

    def predict(image: np.ndarray, _: np.ndarray) -> object:
        return package.predict(image, classes=[0], device=device, verbose=False, save=False)

    stage = DetectPeople(detector="ultralytics", weights=path, trust=True, **how)
    return Subject(f"{kind} @640", stage, predict)


def rtmw(folder: Path, how: dict, *, large: bool) -> Subject:
    """133 keypoints a person."""
    from humanverse.models.mmpose import build
    from humanverse.models.mmpose_imports import import_mmpose

    import_mmpose()
    _stand_in_for_setuptools()
    small, big = "rtmw-m_8xb1024-270e_cocktail14-256x192", "rtmw-l_8xb320-270e_cocktail14-384x288"
    stage = Pose(model="mmpose", config=Path(big if large else small), flip=False, **how)
    torch.manual_seed(0)
    path = folder / "rtmw.pth"
    torch.save({"state_dict": build(stage.config)[0].state_dict()}, path)
    stage.weights = path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmpose.apis import inference_topdown, init_model

        options = {"model.backbone.init_cfg": None, "model.test_cfg.flip_test": False}
        model = init_model(str(stage.config), None, device=how["device"], cfg_options=options)
    model.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    name = "RTMW-l @384" if large else "RTMW-m @256"
    return Subject(name, stage, lambda image, boxes: inference_topdown(model, image, boxes))


def _stand_in_for_setuptools() -> None:
    """The package asks setuptools, whose part for it is gone, where it lies."""
    stand_in = ModuleType("pkg_resources")
    stand_in.DistributionNotFound = ImportError
    stand_in.get_distribution = lambda name: SimpleNamespace(
        location=str(importlib.metadata.distribution(name).locate_file(""))
    )
    sys.modules.setdefault("pkg_resources", stand_in)


def depth_anything(folder: Path, how: dict, *, large: bool) -> Subject:
    """Depth: V2 large at 518, or V2 small at 266."""
    from PIL import Image

    width, heads, layers, side = (1024, 16, 24, 518) if large else (384, 6, 12, 266)
    channels = [256, 512, 1024, 1024] if large else [48, 96, 192, 384]
    trunk = transformers.Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=518,
        patch_size=14,
        out_indices=[layers // 4 * n for n in (1, 2, 3, 4)],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=trunk,
        reassemble_hidden_size=width,
        neck_hidden_sizes=channels,
        fusion_hidden_size=channels[0] if large else 64,
    )
    processor = transformers.DPTImageProcessor(
        size={"height": side, "width": side}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    torch.manual_seed(0)
    path = folder / "depth_anything"
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(path)
    processor.save_pretrained(path)
    made = transformers.pipeline("depth-estimation", model=str(path), device=how["device"])

    def run(image: np.ndarray, _: np.ndarray) -> object:
        return made(Image.fromarray(image[..., ::-1]))["predicted_depth"].cpu()

    stage = Depth(model="depth_anything", weights=path, **how)
    return Subject(f"Depth Anything V2 {'L' if large else 'S'} @{side}", stage, run)


def sapiens(folder: Path, how: dict, *, large: bool) -> Subject:
    """Normals: the shape of Sapiens2's 0.3B, or a small one."""
    width, layers, size = (1024, 24, (1024, 768)) if large else (256, 6, (256, 192))
    config = transformers.Sapiens2Config(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_attention_heads=width // 64,
        image_size=list(size),
        num_labels=3,
        head_config={
            "upsample_out_channels": [width // 2, width // 4, width // 4, width // 8],
            "upsample_kernel_sizes": [3] * 4,
            "use_pixel_shuffle": True,
            "conv_out_channels": [width // 8],
            "conv_kernel_sizes": [3],
        },
    )
    torch.manual_seed(0)
    path, device = folder / "sapiens2", how["device"]
    transformers.Sapiens2ForNormalEstimation(config).save_pretrained(path)
    processor = transformers.Sapiens2ImageProcessor(size={"height": size[0], "width": size[1]})
    processor.save_pretrained(path)
    model = transformers.Sapiens2ForNormalEstimation.from_pretrained(path).eval().to(device)

    def run(image: np.ndarray, _: np.ndarray) -> object:
        pixels = np.ascontiguousarray(image[..., ::-1])
        inputs = processor(pixels, input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            given = model(**inputs.to(device))
        where = "source_sizes" if processor.do_pad else "target_sizes"
        sides = {where: [pixels.shape[:2]]}
        return processor.post_process_normal_estimation(given, **sides)[0]["normals"].cpu()

    stage = Normals(model="sapiens2", weights=path, **how)
    return Subject(f"Sapiens2 {'0.3B' if large else 'small'} @{size[0]}", stage, run)
