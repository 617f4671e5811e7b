"""The dataset for machines: Croissant 1.1 (mlcommons.org), in JSON-LD.

Files are named relative to `croissant.json`, with their hashes. The record set `samples` reads the
index; `pictures` and the other members are file sets inside the tars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from humanverse import schema
from humanverse.pack.listing import INDEX, Shard

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The words of Croissant 1.1."""
SPEC = "http://mlcommons.org/croissant/1.1"
MEMBERS = {
    "jpg": ("image/jpeg", "upright sRGB pictures without metadata"),
    "txt": ("text/plain", "captions"),
    "json": ("application/json", "source, people and scores of each sample"),
    "pose.json": ("application/json", "133 COCO-WholeBody keypoints a person"),
    "depth.png": ("image/png", "depth, 16 bits; kind, scale and offset in the JSON"),
    "normal.png": ("image/png", "normals, RGB = (n + 1) / 2, +X right, +Y up, +Z to the viewer"),
}
SENSITIVE = (
    "The pictures show people, many of them recognisable, who did not agree to it. URLs and "
    "captions may tell who they are."
)
LIMITS = (
    "Labels are estimates of models and were not checked by people. Whom detectors miss is "
    "missing: small, hidden and unusual people more often than others. Captions are the web's."
)


def croissant(
    recipe: Mapping[str, Any],
    shards: Sequence[Shard],
    columns: pa.Schema,
    index_sha256: str,
    index_bytes: int,
) -> dict[str, Any]:
    """The description of a packed dataset.

    Args:
        recipe: resolved.
        shards: in order.
        columns: of the index.
        index_sha256: its hash.
        index_bytes: its size.
    """
    told = recipe["pack"]
    name = told.get("title") or recipe["recipe"]
    index = _file("index.parquet", index_bytes, "application/x-parquet", index_sha256)
    tars = [_file(_base(s.tar), s.tar_bytes, "application/x-tar", s.tar_sha256) for s in shards]
    licence = told.get("licence") or "https://choosealicense.com/no-permission/"
    out = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": SPEC,
        # A name there is letters, digits and a few signs.
        "name": re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-") or "dataset",
        "alternateName": name,
        "description": "Pictures of people with whole-body pose, depth and surface normals.",
        "license": licence,
        "url": told.get("url") or "./",
        "version": "1.0.0",
        "keywords": ["people", "human pose", "depth", "surface normals", "text to image"],
        "isLiveDataset": False,
        "rai:dataCollection": "Pictures were fetched from the web by the URLs of published tables; "
        "what owners opted out of was not taken.",
        "rai:dataBiases": LIMITS,
        "rai:personalSensitiveInformation": SENSITIVE,
        "rai:dataReleaseMaintenancePlan": _removal(told.get("contact", "")),
        "distribution": [index, *tars, *_sets(shards, columns)],
        "recordSet": [_samples(columns)],
    }
    if told.get("creator"):
        out["creator"] = {"@type": "sc:Organization", "name": told["creator"]}
    if told.get("date"):
        out["datePublished"] = told["date"]
    if told.get("cite"):
        out["citeAs"] = told["cite"]
    return out


def _removal(contact: str) -> str:
    where = f" Ask for it at {contact}." if contact else ""
    return f"Owners' pictures are removed for good when they ask for it.{where}"


def _file(name: str, size: int, kind: str, sha256: str) -> dict[str, Any]:
    told = {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name}
    return told | {"contentSize": f"{size} B", "encodingFormat": kind, "sha256": sha256}


def _sets(shards: Sequence[Shard], columns: pa.Schema) -> list[dict[str, Any]]:
    """A file set for each kind of member."""
    inside = [{"@id": _base(shard.tar)} for shard in shards]
    there = [e for e in MEMBERS if f"{e.replace('.', '_')}_offset" in columns.names]
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"members-{extension}",
            "name": f"members-{extension}",
            "description": MEMBERS[extension][1],
            "containedIn": inside,
            "encodingFormat": MEMBERS[extension][0],
            "includes": f"*.{extension}",
        }
        for extension in (there if inside else [])
    ]


def _samples(columns: pa.Schema) -> dict[str, Any]:
    """A record a sample, out of the index: what is known of it, and where its members lie."""
    docs = schema.COLUMNS | schema.SELECTED
    fields = []
    for column in columns:
        kind = _kind(column.type)
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"samples/{column.name}",
            "name": f"samples/{column.name}",
            "description": docs[column.name].doc if column.name in docs else _place(column.name),
            "dataType": kind,
            "source": {
                "fileObject": {"@id": _base(INDEX)},
                "extract": {"column": column.name},
            },
        }
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            field |= {"isArray": True, "arrayShape": "-1,4" if kind == "cr:BoundingBox" else "-1"}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "A row a sample.",
        "key": {"@id": "samples/key"},
        "field": fields,
    }


def _place(name: str) -> str:
    """What the columns tell that say where members lie."""
    if name == "shard":
        return "number of the tar that holds the sample"
    member, _, what = name.rpartition("_")
    words = {"offset": "first byte in the tar", "length": "bytes", "crc32": "CRC-32"}
    return f"{member}: {words.get(what, what)}"


def _kind(of: pa.DataType) -> str:
    while pa.types.is_list(of) or pa.types.is_fixed_size_list(of):
        of = of.value_type
    if pa.types.is_integer(of):
        return "sc:Integer"
    if pa.types.is_floating(of):
        return "sc:Float"
    return "sc:Boolean" if pa.types.is_boolean(of) else "sc:Text"


def _base(name: str) -> str:
    return name.rpartition("/")[2]
