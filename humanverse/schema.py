"""Every column, every reason and every member of a sample: the words the whole package shares.

`humanverse schemas` writes them to `schemas/`; a test fails when the two drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Status = Literal["kept", "rejected", "failed", "deferred", "pending"]
"""kept: a sample. rejected: not what the recipe wants. failed: could not be had or used.
deferred: a later attempt may still bring it. pending: its unit is not committed yet."""

KEY = pa.string()
BOX = pa.list_(pa.float32(), 4)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type and what it holds."""

    type: pa.DataType
    doc: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is not in the dataset."""

    status: Status
    doc: str
    transient: bool = False
    """True if asking again later may help."""


PLAN: dict[str, Column] = {
    "key": Column(KEY, "32 hex digits: 128 bits of sha256 of the normalised URL, or of the bytes"),
    "source": Column(pa.string(), "name of the source that mapped the row"),
    "file": Column(pa.string(), "input file, relative to the input given"),
    "row": Column(pa.int64(), "row in that file, from 0"),
    "url": Column(pa.string(), "normalised URL; null for images at hand"),
    "location": Column(pa.string(), "where the bytes of an image at hand lie; null for a URL"),
    "caption": Column(pa.string(), "text that came with the image"),
    "width_hint": Column(pa.int32(), "width claimed by the table, pixels; often wrong"),
    "height_hint": Column(pa.int32(), "height claimed by the table, pixels; often wrong"),
    "similarity": Column(pa.float32(), "CLIP image-text similarity, by the table"),
    "punsafe": Column(pa.float32(), "probability of being unsafe, by the table"),
    "pwatermark": Column(pa.float32(), "probability of a watermark, by the table"),
    "aesthetic_hint": Column(pa.float32(), "LAION aesthetic score, by the table"),
    "num_faces": Column(pa.int32(), "faces counted, by the table"),
    "nsfw": Column(pa.string(), "NSFW label, by the table"),
    "license": Column(pa.string(), "licence, by the table"),
    "phash_hint": Column(pa.string(), "perceptual hash, by the table"),
    "md5_hint": Column(pa.string(), "md5 of the bytes, by the table"),
}

COLLECT: dict[str, Column] = {
    "image": Column(pa.large_binary(), "upright sRGB JPEG without metadata; a member, not a field"),
    "width": Column(pa.int32(), "width of the stored picture, pixels"),
    "height": Column(pa.int32(), "height of the stored picture, pixels"),
    "original_width": Column(pa.int32(), "upright width as served, pixels"),
    "original_height": Column(pa.int32(), "upright height as served, pixels"),
    "format": Column(pa.string(), "format of the bytes served: JPEG, PNG, WEBP, ..."),
    "sha256": Column(pa.string(), "sha256 of the bytes served"),
    "phash": Column(pa.string(), "64-bit DCT perceptual hash of the picture, 16 hex digits"),
    "http_status": Column(pa.int32(), "last HTTP status; null where none came or none was asked"),
    "final_host": Column(pa.string(), "host that served the bytes, after redirects"),
}

TELEMETRY: dict[str, Column] = {
    "attempts": Column(pa.int32(), "tries in which something was asked of a server"),
    "milliseconds": Column(pa.int32(), "time that they took"),
}
"""How it went: kept beside a unit's layers, since it is not the same from run to run."""

PEOPLE: dict[str, Column] = {
    "boxes": Column(pa.list_(BOX), "all person boxes found, xyxy in pixels of the stored picture"),
    "box_scores": Column(pa.list_(pa.float32()), "their scores, highest first"),
    "mask_areas": Column(
        pa.list_(pa.float32()),
        "share of the frame that each box's person covers; no pixel is two people's",
    ),
    "person_count": Column(pa.int32(), "boxes whose score counts"),
    "person_area": Column(pa.float32(), "share of the frame they cover, by the recipe's rule"),
    "person_boxes": Column(pa.list_(BOX), "the boxes that count, xyxy in pixels"),
    "person_scores": Column(pa.list_(pa.float32()), "their scores"),
}

CANVAS: dict[str, Column] = {
    "canvas": Column(
        pa.large_binary(), "the picture in the middle of a wider one, JPEG; it stays in its layer"
    ),
    "canvas_left": Column(pa.int32(), "pixels that the canvas has left of the picture, and right"),
    "canvas_top": Column(pa.int32(), "pixels that the canvas has above the picture, and below"),
}

QUALITY: dict[str, Column] = {
    "aesthetic": Column(
        pa.float32(), "LAION aesthetic score, about 1 to 10; measured, or a table's"
    ),
    "nsfw_score": Column(pa.float32(), "probability of being unsafe; measured, or a table's"),
    "watermark_score": Column(pa.float32(), "probability of a watermark, by a table"),
    "text_similarity": Column(
        pa.float32(), "CLIP's cosine of picture and caption; measured, or a table's"
    ),
}
"""Null where nobody knows. What is measured and what is a table's follows from the recipe."""

EMBEDDING: dict[str, Column] = {
    "embedding": Column(
        pa.list_(pa.float16()),
        "CLIP's image embedding, of length 1; in a shard's own Parquet, not in the index",
    ),
}

LABELS: dict[str, Column] = {
    "keypoints": Column(
        pa.list_(pa.list_(pa.float32(), 399)),
        "a person's 133 COCO-WholeBody keypoints: x, y in pixels, confidence, flattened",
    ),
    "depth_png": Column(pa.large_binary(), "16-bit PNG; a member, not a field"),
    "depth_kind": Column(pa.string(), "metric (metres), relative or disparity"),
    "depth_scale": Column(pa.float32(), "value = code * scale + offset"),
    "depth_offset": Column(pa.float32(), "value = code * scale + offset"),
    "normal_png": Column(pa.large_binary(), "8-bit PNG, RGB = (n + 1) / 2; a member, not a field"),
}

FACES: dict[str, Column] = {
    "blurred": Column(
        pa.large_binary(), "the picture with faces blurred, JPEG; packed in the picture's place"
    ),
    "face_boxes": Column(pa.list_(BOX), "what was blurred, xyxy in pixels"),
}

CAPTIONS: dict[str, Column] = {
    "generated_caption": Column(pa.string(), "what a captioner says; `caption` stays the web's"),
    "caption_model": Column(pa.string(), "the captioner, as the recipe calls it"),
}

ENCODED: dict[str, Column] = {
    "latents": Column(
        pa.large_binary(), "rgb, depth and normal latents, safetensors; a member, not a field"
    ),
    "latents_of": Column(
        pa.string(), "the autoencoder's hash, and the side in pixels of the crop that it was given"
    ),
    "latents_mean": Column(
        pa.list_(pa.list_(pa.float32())),
        "of each channel of rgb, depth and normal; in a shard's own Parquet, not in the index",
    ),
    "latents_std": Column(
        pa.list_(pa.list_(pa.float32())),
        "of each channel of rgb, depth and normal; in a shard's own Parquet, not in the index",
    ),
    "text": Column(
        pa.large_binary(), "the caption's tokens as encoded, safetensors; a member, not a field"
    ),
    "text_of": Column(pa.string(), "the text encoder's hash, its layer, and the most tokens"),
}
"""What a trainer would otherwise reckon anew in each epoch."""

OUTCOME: dict[str, Column] = {
    "generation": Column(
        pa.int32(), "generation of the plan that its unit, or its refusal, belongs to"
    ),
    "unit": Column(pa.string(), "unit of work; null for a row that was not planned"),
    "status": Column(pa.string(), "kept, rejected, failed, deferred or pending"),
    "reason": Column(pa.string(), "why it is not kept; null for kept and pending"),
    "stage": Column(pa.string(), "the stage that decided; null for kept and pending"),
}

SELECTED: dict[str, Column] = {
    "cluster": Column(
        pa.string(), "key after which its cluster of near-duplicates is called; its own if alone"
    ),
    "split": Column(pa.string(), "the split it belongs to, with all its near-duplicates"),
}
"""What samples tell of the selection, where a recipe has one."""

SELECTION: dict[str, Column] = {
    "key": PLAN["key"],
    "unit": OUTCOME["unit"],
    "cluster": Column(
        pa.string(), "key after which its cluster of near-duplicates is called; null if alone"
    ),
    "duplicate_of": Column(
        pa.string(), "key of the near-duplicate that stands for it; null if none does"
    ),
    "benchmark": Column(pa.string(), "the benchmark's picture that it, or who stands for it, is"),
    "reason": Column(pa.string(), "near_duplicate or benchmark; null if it stays"),
    "split": SELECTED["split"],
}
"""One row for every row that all stages kept."""

COLUMNS = (
    PLAN | COLLECT | PEOPLE | QUALITY | EMBEDDING | CANVAS | LABELS | FACES | CAPTIONS | ENCODED
)

MEMBERS = {
    "image": "jpg",
    "canvas": "canvas.jpg",
    "depth_png": "depth.png",
    "normal_png": "normal.png",
    "blurred": "blurred.jpg",
    "latents": "latents.safetensors",
    "text": "text.safetensors",
}
"""Binary columns, and the extension of the tar member that each becomes."""

UNPACKED = frozenset({"canvas.jpg"})
"""Members that labels were made from, which are not samples' own."""
REPLACES = {"blurred.jpg": "jpg"}
"""Members that are packed under the name of another one, and in its place."""

REASONS: dict[str, Reason] = {
    # plan
    "bad_url": Reason("failed", "no usable http(s) URL in the row"),
    "duplicate": Reason("rejected", "the same URL or bytes stand in an earlier row"),
    "not_at_hand": Reason("failed", "the folder lists the image but does not hold it"),
    "hint_unsafe": Reason("rejected", "the table calls it unsafe"),
    "hint_watermark": Reason("rejected", "the table sees a watermark"),
    "hint_aesthetic": Reason("rejected", "the table's aesthetic score is lower than wanted"),
    "hint_small": Reason("rejected", "the table claims fewer pixels than wanted"),
    "hint_faces": Reason("rejected", "the table counts fewer faces than wanted"),
    # collect: before and while asking
    "bad_address": Reason("failed", "the URL, or a redirect, leads to an address not to be asked"),
    "dns": Reason("failed", "the host has no address", transient=True),
    "connection": Reason("failed", "the connection failed or broke", transient=True),
    "tls": Reason("failed", "the certificate or the handshake was refused"),
    "timeout": Reason("failed", "no complete answer before the deadline", transient=True),
    "http_gone": Reason("failed", "404 or 410"),
    "http_refused": Reason("failed", "401, 402, 403 or 451"),
    "http_busy": Reason("failed", "429 or 503, also after waiting", transient=True),
    "http_error": Reason("failed", "another 4xx"),
    "http_server_error": Reason("failed", "another 5xx", transient=True),
    "redirects": Reason("failed", "too many redirects, or one that leads nowhere"),
    "opted_out": Reason("rejected", "the server asks not to use the image for this"),
    "robots": Reason("rejected", "the host's robots.txt disallows it"),
    "robots_unknown": Reason(
        "failed", "the host's robots.txt could not be had or judged", transient=True
    ),
    "blocked": Reason("rejected", "on a list of what must not be taken"),
    "taken_down": Reason("rejected", "named by a takedown of this root: removed, or not taken"),
    "host_down": Reason(
        "failed",
        "its host let so many requests in a row fail that the others were not tried",
        transient=True,
    ),
    "encoded": Reason("failed", "an encoding that was not asked for"),
    "too_many_bytes": Reason("failed", "more bytes than the cap"),
    # collect: the picture
    "not_image": Reason("failed", "the bytes are no image of a known format"),
    "broken_image": Reason("failed", "truncated or corrupt"),
    "too_many_pixels": Reason("failed", "the header declares more pixels than the cap"),
    "poison": Reason("failed", "reading it crashes, hangs or takes more memory than allowed"),
    "changed": Reason("rejected", "grossly another picture than the table tells of"),
    "too_small": Reason("rejected", "a side shorter than wanted"),
    "late": Reason("deferred", "its unit's time was over before it came", transient=True),
    "bytes_missing": Reason("deferred", "alive again, but its bytes were not kept", transient=True),
    # people
    "no_person": Reason("rejected", "no person found"),
    "too_many_people": Reason("rejected", "more people than wanted"),
    "people_too_small": Reason("rejected", "people cover less of the frame than wanted"),
    # quality
    "unsafe": Reason("rejected", "more likely unsafe than wanted, as measured or by the table"),
    "watermark": Reason("rejected", "more likely watermarked than wanted"),
    "low_aesthetic": Reason("rejected", "an aesthetic score lower than wanted"),
    "caption_mismatch": Reason("rejected", "picture and caption are less alike than wanted"),
    "score_unknown": Reason("rejected", "nobody knows a score that the recipe wants known"),
    # select
    "near_duplicate": Reason("rejected", "looks like a sample that stays"),
    "benchmark": Reason("rejected", "looks like a picture of a benchmark, or like one that does"),
    # run
    "no_result": Reason("failed", "a stage gave no answer for the row"),
}


def schema_of(columns: dict[str, Column], *names: str) -> pa.Schema:
    """The Arrow schema of some of the columns, or of all."""
    return pa.schema([(name, columns[name].type) for name in names or columns])


def writes(*names: str) -> pa.Schema:
    """What a stage writes, by the names of known columns."""
    return schema_of(COLUMNS, *names)


LEDGER = (
    {name: PLAN[name] for name in ("key", "source", "file", "row", "url", "caption")}
    | OUTCOME
    | {name: column for name, column in COLLECT.items() if name not in MEMBERS}
    | {name: PEOPLE[name] for name in ("person_count", "person_area")}
    | QUALITY
)
"""One row for every input row."""

SAMPLE = (
    {name: column for name, column in PLAN.items() if name != "location"}
    | {name: column for name, column in COLLECT.items() if name not in MEMBERS}
    | {name: PEOPLE[name] for name in ("person_count", "person_area")}
    | {name: PEOPLE[name] for name in ("person_boxes", "person_scores")}
    | {name: LABELS[name] for name in ("depth_kind", "depth_scale", "depth_offset")}
)
"""One row a sample in a shard's Parquet, before the places of its members."""

SAMPLE_OPTIONAL = (
    QUALITY
    | EMBEDDING
    | CAPTIONS
    | {name: column for name, column in ENCODED.items() if name not in MEMBERS}
)
"""What it has besides where the recipe has the stages that write it."""

SAMPLE_MEMBERS = ("jpg", "txt", "json", "pose.json", "depth.png", "normal.png")
"""The members of a fully annotated sample."""
