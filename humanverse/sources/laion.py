"""LAION's tables. Widths and heights are hints: the joined release of LAION-2B-en swaps them."""

from humanverse.sources.table import Source

WITHDRAWN = (
    "LAION-2B-en was withdrawn in 2023 because links to illegal images were found in it; "
    "use Re-LAION-2B-en-research-safe, or say --set plan.allow_withdrawn=true if you may"
)

LAION_2B_EN = Source(
    "laion2b_en",
    {
        "url": ("url",),
        "caption": ("text",),
        "width_hint": ("width",),
        "height_hint": ("height",),
        "similarity": ("similarity",),
        "punsafe": ("punsafe",),
        "pwatermark": ("pwatermark",),
        "aesthetic_hint": ("aesthetic",),
        "nsfw": ("nsfw",),
        "license": ("license",),
    },
    signature=frozenset({"url", "text", "punsafe", "pwatermark"}),
    withdrawn=WITHDRAWN,
)

RELAION_2B_EN = Source(
    "relaion2b_en",
    {
        "url": ("url",),
        "caption": ("caption",),
        "width_hint": ("original_width", "width"),
        "height_hint": ("original_height", "height"),
        "similarity": ("similarity",),
        "punsafe": ("punsafe",),
        "pwatermark": ("pwatermark",),
        "md5_hint": ("md5",),
    },
    signature=frozenset({"url", "caption", "similarity", "punsafe", "pwatermark", "md5"}),
)

LAION_400M = Source(
    "laion400m",
    {
        "url": ("url",),
        "caption": ("text",),
        "width_hint": ("width",),
        "height_hint": ("height",),
        "similarity": ("similarity",),
        "nsfw": ("nsfw",),
        "license": ("license",),
    },
    signature=frozenset({"sample_id", "url", "text", "nsfw", "similarity"}),
)
