"""Whatever the web sends, every row ends in a sound picture or a reason, in its time."""

import asyncio
import contextlib
import io
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import malformed
import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
from PIL import Image, ImageOps

from humanverse import schema
from humanverse.collect import Collect, jpeg
from humanverse.collect.child import MEMORY_BASE, MEMORY_PER_PIXEL
from humanverse.collect.decoder import Decoders
from humanverse.collect.picture import BadPicture, Bounds, normalise
from humanverse.collect.web.fetch import Fetcher, Limits
from humanverse.collect.web.guard import Guard
from humanverse.collect.web.manners import Manners
from humanverse.run.unit import apply
from humanverse.testing.bombs import answer, bombs, segment
from humanverse.testing.tarpits import KINDS, Tarpits

BOUNDS = Bounds(max_side=448, min_side=16, max_pixels=10_000_000, quality=95)
REASONS = {"not_image", "broken_image", "too_many_pixels", "too_small", "poison"}
NUMBER = 2000
SPARE = 64 << 20


@cache
def odd_jpegs():
    """The hand-made ones by their names."""
    return dict(malformed.odd_jpegs(malformed.seeds()))


def assert_sound(name, picture, bounds=BOUNDS):
    """Two decoders agree on it, it is as large as it says, and it carries nothing else."""
    size = picture.width, picture.height
    assert max(size) <= bounds.max_side, name
    served = picture.original_width, picture.original_height
    assert min(served) >= bounds.min_side, name
    assert served[0] * served[1] <= bounds.max_pixels, name
    one = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert one.shape == (picture.height, picture.width, 3), name
    assert simplejpeg.decode_jpeg(picture.jpeg, "RGB").shape == one.shape, name
    with Image.open(io.BytesIO(picture.jpeg)) as image:
        two = np.asarray(image)
        assert not {"exif", "icc_profile", "comment", "adobe", "mp"} & image.info.keys(), name
    assert np.abs(one.astype(int) - two).mean() < 1, name
    markers = {marker for marker, _ in malformed.segments(picture.jpeg)}
    assert not markers - {0xE0, 0xDA} - jpeg.FRAMES - jpeg.TABLES, name
    assert picture.jpeg.index(jpeg.EOI) == len(picture.jpeg) - 2, name
    return two


def by_pillow(data):
    """A file's picture as Pillow has it, upright and on white; None where that is not ours to say:
    it refuses the file, or the file tells colours of its own.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            for note in ("xmp", "XML:com.adobe.xmp"):
                image.info.pop(note, None)
            if image.mode.startswith("I") or image.mode == "F" or "icc_profile" in image.info:
                return None
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("P", "LA", "PA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
            if upright.mode == "RGBA":
                white = Image.new("RGB", upright.size, "white")
                white.paste(upright, mask=upright.getchannel("A"))
                return white
            return upright.convert("RGB")
    except Exception:  # noqa: BLE001 - of odd notes, too, that are nothing to the picture
        return None


def assert_alike(name, data, picture, pixels):
    """The stored pixels are Pillow's own: the same ones where the file was kept as it came."""
    wanted = by_pillow(data)
    if wanted is None:
        return
    assert wanted.size == (picture.original_width, picture.original_height), name
    found = jpeg.plain(data)
    if found is not None and found.stripped == picture.jpeg:
        assert np.abs(np.asarray(wanted).astype(int) - pixels).mean() < 0.01, name
        return
    both = [im.resize((12, 10), Image.Resampling.BOX) for im in (wanted, Image.fromarray(pixels))]
    far = np.abs(np.asarray(both[0]).astype(int) - np.asarray(both[1])).mean()
    assert far < 20, (name, far)


def peak(pid):
    """Most bytes that a process had in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return 0


def children():
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found


def judged(files, bounds=BOUNDS):
    """Name, bytes and answer of each file, by children; deaths, and their largest memory."""
    before = children()
    decoders = Decoders(bounds, 2, seconds=20.0)

    def ask(file):
        try:
            return *file, decoders.decode(file[1])
        except BadPicture as bad:
            return *file, bad.reason

    try:
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(ask, files))
        return answers, decoders.deaths, max(map(peak, children() - before))
    finally:
        decoders.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_malformed_files_end_in_a_sound_picture_or_a_reason():
    answers, deaths, most = judged(malformed.files(NUMBER))
    found = Counter()
    for name, data, told in answers:
        found[told if isinstance(told, str) else "picture"] += 1
        if not isinstance(told, str):
            assert_alike(name, data, told, assert_sound(name, told))
    assert found.total() == NUMBER
    assert found.keys() <= REASONS | {"picture"}
    assert min(found["picture"], found["broken_image"]) > NUMBER / 10
    assert deaths == 2 * found["poison"] == 0
    assert most < MEMORY_BASE + MEMORY_PER_PIXEL * BOUNDS.max_pixels + SPARE


@pytest.mark.real
def test_real_odd_files_are_what_pillow_sees(real):
    bounds = Bounds(1024, 16, 64_000_000, 95)
    paths = [p for p in sorted((real / "photos" / "pillow_edge").iterdir()) if p.suffix]
    answers, deaths, _ = judged([(p.name, p.read_bytes()) for p in paths], bounds)
    assert deaths == 0
    for name, data, told in answers:
        if isinstance(told, str):
            assert told in REASONS
        else:
            assert_alike(name, data, told, assert_sound(name, told, bounds))


def test_colours_named_by_their_components_are_shown_as_such():
    files = {n: d for n, d in odd_jpegs().items() if n.startswith("named rgb")}
    for name, data in files.items():
        picture = normalise(data, BOUNDS)
        assert_alike(name, data, picture, assert_sound(name, picture))


def test_the_first_note_of_orientation_counts_and_one_of_xmp_does_not():
    files = odd_jpegs()
    upright, turned = (384, 400), (400, 384)
    for name, size in {
        "two notes": upright,
        "other two notes": turned,
        "note after scan": turned,
        "turned by xmp": turned,
    }.items():
        picture = normalise(files[name], BOUNDS)
        assert (picture.width, picture.height) == size, name


def test_what_other_decoders_might_refuse_is_not_kept_as_it_came():
    files = odd_jpegs()
    for name in (
        "no tables",
        "same components",
        "components drawn apart (0,)",
        "components drawn apart (0, 1)",
        "hidden bytes",
        "many pictures",
        "tables without end",
    ):
        found = jpeg.plain(files[name])
        try:
            picture = normalise(files[name], BOUNDS)
        except BadPicture:
            continue
        assert found is None or picture.jpeg != found.stripped, name


def test_one_picture_of_scans_apart_is_kept():
    files = odd_jpegs()
    data = files["components drawn apart (0, 1, 2)"]
    assert normalise(data, BOUNDS).jpeg == jpeg.plain(data).stripped


def test_a_picture_is_not_padded_with_what_nobody_sees():
    plain = malformed.seeds()["jpeg"]
    padded = plain[:2] + segment(0xFE, bytes(65_000)) * 20 + b"\xff" * 2_000_000 + plain[2:]
    assert len(normalise(padded, BOUNDS).jpeg) < len(plain) + 100


def collected(urls, **settings):
    stage = Collect(allow_hosts=("127.0.0.1",), robots=False, per_host_rate=0, **settings)
    kind = pa.schema([*schema.schema_of(schema.PLAN), ("reason", pa.string())])
    kind = kind.append(pa.field("stage", pa.string()))
    known = {"key": [f"{n:032x}" for n in range(len(urls))], "url": urls}
    columns = {f.name: known.get(f.name, pa.nulls(len(urls), f.type)) for f in kind}
    stage.open()
    try:
        rows = apply(pa.table(columns, schema=kind), stage).to_pylist()
        return rows, stage._decoders.deaths
    finally:
        stage.close()


def test_bombs_end_as_they_may_and_kill_nobody():
    pixels = 1_000_000
    made = list(bombs(pixels, unpacked=1 << 24))
    answers = {f"/{n}": answer(bomb) for n, bomb in enumerate(made)}
    with Tarpits(["127.0.0.1"], b"", answers=answers) as served:
        urls = [served.url("127.0.0.1", path) for path in answers]
        rows, deaths = collected(urls, max_pixels=pixels, max_bytes=40 << 20)
    wrong = [
        (bomb.name, row["reason"])
        for bomb, row in zip(made, rows, strict=True)
        if row["reason"] not in bomb.fates - {"poison"}
    ]
    assert wrong == []
    assert deaths == 0


@pytest.mark.parametrize("layout", ["own hosts", "shared hosts"])
def test_tarpits_end_in_time_and_cost_no_healthy_page(layout):
    deadline, each = 2.0, 2
    hosts = [f"127.3.0.{n + 1}" for n in range(40)]
    others = [f"127.4.0.{n + 1}" for n in range(each * len(KINDS))]
    kinds = [kind for kind in KINDS for _ in range(each)]
    if layout == "shared hosts":  # slow rules hold up the pages of their host, rightly
        kinds = [kind for kind in kinds if kind != "robots"]
        others = hosts
    pairs = list(zip(kinds, others, strict=False))
    slow = frozenset(host for kind, host in pairs if kind == "robots")
    body = malformed.encoded(malformed.scene())

    async def all_of(served):
        manners = Manners(per_host_rate=0, robots_deadline=deadline)
        limits = Limits(deadline, 4 << 20, 5, 3)
        fetcher = Fetcher(Guard([*hosts, *others]), limits, manners, connections=16)
        bad = [served.address(kind, host, n) for n, (kind, host) in enumerate(pairs)]
        good = [served.address("good", hosts[n % len(hosts)], n) for n in range(200)]
        try:
            return await asyncio.gather(*map(fetcher.fetch, [*bad, *good]))
        finally:
            await fetcher.close()

    with Tarpits([*hosts, *others] if others is not hosts else hosts, body, slow) as served:
        found = asyncio.run(all_of(served))
    for (kind, _), end in zip(pairs, found, strict=False):
        assert end.reason in KINDS[kind], kind
        assert end.ms <= 1000 * (deadline + 1), kind
    assert all(end.data == body for end in found[len(pairs) :])
