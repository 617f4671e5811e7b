"""COYO-700M."""

from humanverse.sources.table import Source

COYO_700M = Source(
    "coyo700m",
    {
        "url": ("url",),
        "caption": ("text",),
        "width_hint": ("width",),
        "height_hint": ("height",),
        "similarity": ("clip_similarity_vitl14",),
        "punsafe": ("nsfw_score_opennsfw2",),
        "pwatermark": ("watermark_score",),
        "aesthetic_hint": ("aesthetic_score_laion_v2",),
        "num_faces": ("num_faces",),
        "phash_hint": ("image_phash",),
    },
    signature=frozenset({"url", "text", "image_phash", "num_faces", "clip_similarity_vitl14"}),
)
