"""What a sample holds, out of its members' bytes: at full size, or as a view of it.

Maps are cropped and scaled as the codes they are stored in, which is a quarter of the work: depth
is linear in its codes, and normals have their length restored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.codec import (
    decode_codes,
    decode_depth,
    decode_jpeg,
    decode_normals,
    depth_of,
    normals_of,
)
from humanverse.drawing import skeleton
from humanverse.errors import UsageError
from humanverse.keypoints import COUNT
from humanverse.load.view import Sample, Size, View
from humanverse.tensors import loaded

Bytes = bytes | memoryview

MEMBERS: Final = {
    "image": "jpg",
    "caption": "txt",
    "meta": "json",
    "poses": "pose.json",
    "depth": "depth.png",
    "normals": "normal.png",
    "boxes": "pose.json",
    "mask_areas": "pose.json",
    "pose_map": "pose.json",
    "latents": "latents.safetensors",
    "text": "text.safetensors",
}
"""What a sample can hold, and the member it comes from."""
STORED: Final = ("image", "caption", "meta", "poses", "depth", "normals")
"""What it holds if nothing is said: all that is not made out of something else."""
LATENTS: Final = ("rgb", "depth", "normal")
"""What there are latents of, in this order where they have no names."""


NO_ROOM: Final[Mapping[str, NDArray[Any]]] = {}


class Decoder:
    """One sample's members, each parsed once."""

    def __init__(
        self,
        members: Mapping[str, Bytes],
        told: Mapping[str, Any],
        view: View | None,
        out: Mapping[str, NDArray[Any]] = NO_ROOM,
    ) -> None:
        """Begin with bytes by extension.

        Args:
            members: bytes by extension.
            told: `size`, height and width of the picture, and what the index says of its depth:
                `depth_kind`, `depth_scale`, `depth_offset`.
            view: what is to be seen of it; all if None.
            out: arrays that columns are written to where they fit.
        """
        self.members, self.told, self.view, self.out = members, told, view, out

    def column(self, name: str) -> Sample:
        """A column, and what comes with it.

        Raises:
            DataError, ValueError, LookupError, TypeError: its member cannot be read.
        """
        return COLUMNS[name](self)

    def image(self) -> Sample:
        """(H, W, 3) uint8, decoded no larger than the view needs it."""
        data = self.members["jpg"]
        if self.view is None:
            return {"image": decode_jpeg(data, out=self.out.get("image"))}
        factor = self.view.reduction()
        return {"image": self.view.reduced(factor).pixels(decode_jpeg(data, factor))}

    def depth(self) -> Sample:
        """(H, W) float32 in the unit of its kind."""
        png, told, out = self.members["depth.png"], self.told, self.out.get("depth")
        values = told["depth_scale"], told["depth_offset"]
        if self.view is None:
            depth = decode_depth(png, *values, out)
        else:
            depth = depth_of(self.view.pixels(decode_codes(png, 2)), *values, out)
        return {"depth": depth, "depth_kind": told["depth_kind"]}

    def normals(self) -> Sample:
        """(H, W, 3) float32 unit vectors."""
        png, out = self.members["normal.png"], self.out.get("normals")
        if self.view is None:
            return {"normals": decode_normals(png, out)}
        normals = normals_of(self.view.pixels(decode_codes(png, 3)), out)
        if self.view.mirrored:
            normals[..., 0] *= -1
        return {"normals": normals}

    def poses(self) -> Sample:
        """(people, 133, 3) float32: x and y in pixels, and confidence."""
        return {"poses": self._poses}

    def boxes(self) -> Sample:
        """(people, 4) float32, xyxy in pixels; one outside the view has no area."""
        boxes = np.asarray([p["box"] for p in self._body["people"]], np.float32).reshape(-1, 4)
        return {"boxes": boxes if self.view is None else self.view.boxes(boxes)}

    def mask_areas(self) -> Sample:
        """(people,) float32, pixels that each person's mask covers; NaN where nobody made one.

        Of a view that cuts a box, the same share of the mask is taken to be left.
        """
        shares = [person.get("mask_area", np.nan) for person in self._body["people"]]
        height, width = self.told["size"]
        areas = np.asarray(shares, np.float32) * np.float32(height * width)
        if self.view is not None and len(areas):
            whole = np.asarray([p["box"] for p in self._body["people"]], np.float32)
            areas *= box_areas(self.view.boxes(whole)) / box_areas(whole)
        return {"mask_areas": areas}

    def pose_map(self) -> Sample:
        """(H, W, 3) uint8: skeletons as `humanverse.drawing.skeleton` draws them."""
        size: Size = self.told["size"] if self.view is None else self.view.size
        return {"pose_map": skeleton(self._poses, *size)}

    def caption(self) -> Sample:
        """A str."""
        return {"caption": str(self.members["txt"], "utf-8")}

    def meta(self) -> Sample:
        """A dict."""
        return {"meta": json.loads(bytes(self.members["json"]))}

    def latents(self) -> Sample:
        """`latents_rgb`, `latents_depth` and `latents_normal`, (C, h, w) float16 each.

        Raises:
            UsageError: they are of another part of the picture than is to be seen.
        """
        arrays, told = loaded(self.members[MEMBERS["latents"]])
        if self.view is not None and place_of(self.view) != told["view"]:
            side = told["view"].split()[-1]
            raise UsageError(
                f"latents are of the middle of each picture at {side} pixels, and another part or "
                f"size is asked for: take image_size={side} and crop='centre', or leave them out"
            )
        return {f"latents_{name}": arrays[name] for name in LATENTS}

    def text(self) -> Sample:
        """`text` (T, W) and `text_pooled` (P,), float16 or, of bf16, float32; `text_said` (T,)
        bool is false behind the caption's end, where nothing was kept and `text` is 0.
        """
        arrays, told = loaded(self.members[MEMBERS["text"]])
        tokens = arrays["tokens"]
        text = np.zeros((int(told["length"]), tokens.shape[1]), tokens.dtype)
        text[: len(tokens)] = tokens
        whole = {"text_pooled": arrays["pooled"]} if "pooled" in arrays else {}
        return {"text": text, "text_said": np.arange(len(text)) < len(tokens)} | whole

    @cached_property
    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(bytes(self.members["pose.json"]))
        return body

    @cached_property
    def _poses(self) -> NDArray[np.float32]:
        people = [person["keypoints"] for person in self._body["people"]]
        poses = np.asarray(people, np.float32).reshape(-1, COUNT, 3)
        return poses if self.view is None else self.view.poses(poses)


def box_areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas (n,) of boxes (n, 4), xyxy."""
    areas: NDArray[np.float32] = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.maximum(areas, np.float32(1e-6))  # none of nothing, which nobody can divide by


def place_of(view: View) -> str:
    """Which part of a picture a view shows, and how large, as latents tell it."""
    numbers = (view.left, view.top, view.width, view.height, *view.size)
    return " ".join(map(str, (*numbers[:4], *["mirrored"] * view.mirrored, *numbers[4:])))


COLUMNS: Final[Mapping[str, Callable[[Decoder], Sample]]] = {
    name: getattr(Decoder, name) for name in MEMBERS
}


def checked(columns: Iterable[str]) -> tuple[str, ...]:
    """Names of columns, if samples can hold all of them.

    Raises:
        UsageError: one is unknown.
    """
    if isinstance(columns, str):
        raise UsageError(f"columns={columns!r} is one name: put it in []")
    wanted = tuple(columns)
    if unknown := [name for name in wanted if name not in MEMBERS]:
        raise UsageError(f"no column {', '.join(unknown)}: choose of {', '.join(MEMBERS)}")
    return wanted
