"""Outpainting by a latent diffusion model that inpaints, through diffusers.

HyperHuman widened its pictures so with Stable Diffusion 2's, before they were labelled. The folder
is of the library's own layout; weights are safetensors, and nothing is fetched. Stable Diffusion
2's weights are under the CreativeML Open RAIL++-M licence, which restricts uses.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from humanverse.errors import UsageError
from humanverse.models.base import Image, Narrow
from humanverse.models.hub_folder import library, read_json
from humanverse.models.reflect import reflected
from humanverse.models.torched import Engine, How

if TYPE_CHECKING:
    import torch

PIPELINE: Final = "StableDiffusionInpaintPipeline"
INDEX: Final = "model_index.json"
STEPS: Final = 50
GUIDANCE: Final = 7.5
"""Both as in the library; the paper states neither."""

Size = tuple[int, int]
"""Height and width."""


class InpaintingOutpainter:
    """`Outpainter` that has a diffusion model fill what lies outside the frame.

    The canvas is shrunk to the size that the model was made for, filled by the picture's caption,
    and enlarged again; then the picture itself is put back. Noise follows from each picture's seed
    alone, so neighbours in a batch do not matter.
    """

    def __init__(
        self,
        folder: Path,
        how: How | None = None,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
    ) -> None:
        """Load a folder of the diffusers library.

        Raises:
            UsageError: the folder holds no such pipeline.
        """
        check(folder)
        self._pipeline = _loaded(folder)
        self._steps, self._guidance = steps, guidance
        self._engine = Engine(self._pipeline.unet, how)
        self._pipeline.to(self._engine.device)
        cells: int = self._pipeline.vae_scale_factor
        self._cells = cells
        self._side = int(self._pipeline.unet.config.sample_size) * cells

    def widen(self, pictures: Sequence[Narrow]) -> list[Image]:
        """One canvas a picture, with the picture itself, unchanged, in its middle."""
        order = sorted(range(len(pictures)), key=lambda i: self.given(pictures[i].size))
        found = self._engine.in_batches([pictures[i] for i in order], self._step)
        filled = dict(zip(order, (row[0] for row in found), strict=True))
        return [put_back(picture, filled[i]) for i, picture in enumerate(pictures)]

    def given(self, size: Size) -> Size:
        """What the model is given of a canvas: its longer side is the model's own."""
        scale = self._side / max(size)
        height, width = (max(1, round(side * scale / self._cells)) for side in size)
        return height * self._cells, width * self._cells

    def _step(self, pictures: Sequence[Narrow]) -> tuple[list[torch.Tensor]]:
        groups = groupby(pictures, key=lambda picture: self.given(picture.size))
        return ([one for size, group in groups for one in self._filled(list(group), size)],)

    def _filled(self, pictures: list[Narrow], size: Size) -> list[torch.Tensor]:
        """Canvases (height, width, 3), uint8, of pictures of which the model is given one size."""
        import torch

        # Seeds of the CPU's own generator: the same noise on every device.
        seeds = [torch.Generator().manual_seed(picture.seed) for picture in pictures]
        canvases = [_shrunk(reflected(picture), size) for picture in pictures]
        masks = [_shrunk(mask_of(picture), size) for picture in pictures]
        with self._engine.numbers():
            made = self._pipeline(
                prompt=[picture.caption for picture in pictures],
                image=torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2) / 255,
                mask_image=torch.from_numpy(np.stack(masks))[:, None] / 255,
                height=size[0],
                width=size[1],
                num_inference_steps=self._steps,
                guidance_scale=self._guidance,
                generator=seeds,
                output_type="pt",
            ).images
        pixels = (made.float() * 255).round().clamp(0, 255).byte()
        return list(pixels.permute(0, 2, 3, 1))


def check(folder: Path | None) -> None:
    """Refuse a folder that is none, without loading it.

    Raises:
        UsageError: a file or a package is missing, or it is another pipeline.
    """
    if folder is None:
        raise UsageError("outpaint.model=inpainting needs a folder: --set outpaint.weights=DIR")
    if find_spec("diffusers") is None or find_spec("transformers") is None:
        raise UsageError("outpaint.model=inpainting needs: pip install 'humanverse[annotate]'")
    if not (folder / INDEX).is_file():
        raise UsageError(f"{folder} is no folder of diffusers: it has no {INDEX}")
    kind = read_json(folder / INDEX).get("_class_name")
    if kind != PIPELINE:
        raise UsageError(f"{folder} holds a {kind}; outpaint.model=inpainting takes a {PIPELINE}")


def put_back(picture: Narrow, canvas: Image) -> Image:
    """A canvas at the size it shall have, with the picture in its middle."""
    height, width = picture.size
    out = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = picture.image.shape[:2]
    out[picture.top : picture.top + rows, picture.left : picture.left + columns] = picture.image
    return np.asarray(out, np.uint8)


def mask_of(picture: Narrow) -> Image:
    """(H, W), 255 where the canvas is to be filled."""
    mask = np.full(picture.size, 255, np.uint8)
    rows, columns = picture.image.shape[:2]
    mask[picture.top : picture.top + rows, picture.left : picture.left + columns] = 0
    return mask


def _shrunk(pixels: Image, size: Size) -> Image:
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _loaded(folder: Path) -> Any:
    """The pipeline, without what looks for unwanted pictures: those are sorted out before.

    Raises:
        UsageError: its files do not make up such a pipeline.
    """
    library()  # the same switches, before the hub's own package is imported
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    import diffusers

    try:
        pipeline = getattr(diffusers, PIPELINE).from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            safety_checker=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"{folder} cannot be loaded as {PIPELINE}: {why}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
