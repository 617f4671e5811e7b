"""Tokens are those of the library's own call, up to a caption's end."""

from pathlib import Path

import pytest

from humanverse.errors import UsageError

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("diffusers", reason="diffusers is not installed")

from models.small_encoders import clip_folder, t5_folder  # noqa: E402  # it needs them

from humanverse.models.text_encoders import HubTextEncoder, Reading, check, identity  # noqa: E402

CPU = torch.device("cpu")
CAPTIONS = ["a a a a a", "", "a a a a a a a a a a a a a a a"]
KINDS = ("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPModel")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("texts")
    made = {kind: clip_folder(base / kind / "text_encoder_2", kind) for kind in KINDS}
    return made | {"T5": t5_folder(base / "t5")}


def by_transformers(folder, kind, captions, length):
    """Ids, and what the library's own model says of them, without a mask: as pipelines ask it."""
    words = folder if kind == "T5" else folder.parent / "tokenizer_2"
    tokeniser = transformers.AutoTokenizer.from_pretrained(words)
    ids = tokeniser(
        captions, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    name = {"T5": "T5EncoderModel", "CLIPModel": "CLIPTextModelWithProjection"}.get(kind, kind)
    changes = {"projection_dim": 24} if kind == "CLIPModel" else {}
    model = getattr(transformers, name).from_pretrained(folder, **changes).eval()
    mask = {"attention_mask": ids["attention_mask"]} if kind == "T5" else {}
    with torch.no_grad():
        return ids, model(ids["input_ids"], output_hidden_states=True, **mask)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", ["last", "penultimate"])
def test_a_clips_tokens_and_its_pooled_vector_are_the_librarys(folders, kind, layer):
    ids, theirs = by_transformers(folders[kind], kind, CAPTIONS, 12)
    read = HubTextEncoder(Reading(folders[kind], layer))(CAPTIONS, CPU)
    wanted = theirs.last_hidden_state if layer == "last" else theirs.hidden_states[-2]
    said = ids["attention_mask"].bool()
    assert torch.equal(read.said, said)
    assert torch.allclose(read.tokens[said], wanted[said], atol=1e-6)
    pooled = theirs.pooler_output if kind == "CLIPTextModel" else theirs.text_embeds
    assert torch.allclose(read.pooled, pooled, atol=1e-6)
    assert not torch.allclose(read.tokens[0, 0], read.tokens[0, 1])


def test_the_two_layers_are_not_the_same(folders):
    last, before = (
        HubTextEncoder(Reading(folders["CLIPTextModel"], layer))(CAPTIONS, CPU)
        for layer in ("last", "penultimate")
    )
    assert not torch.allclose(last.tokens, before.tokens, atol=1e-2)


def test_a_t5s_tokens_are_the_librarys_and_it_has_no_pooled_vector(folders):
    ids, theirs = by_transformers(folders["T5"], "T5", CAPTIONS, 9)
    read = HubTextEncoder(Reading(folders["T5"], length=9))(CAPTIONS, CPU)
    said = ids["attention_mask"].bool()
    assert torch.equal(read.said, said)
    assert torch.allclose(read.tokens[said], theirs.last_hidden_state[said], atol=1e-6)
    assert read.pooled is None
    with pytest.raises(UsageError, match="layer=last"):
        check(Reading(folders["T5"], "penultimate"))


def test_a_caption_is_cut_at_what_a_clip_takes_and_ends_in_its_mark(folders):
    encoder = HubTextEncoder(Reading(folders["CLIPTextModel"], length=128))
    read = encoder(CAPTIONS, CPU)
    assert encoder.length == 12
    assert read.tokens.shape == (3, 12, encoder.width)
    assert read.said.sum(1).tolist() == [7, 2, 12]
    ids, _ = encoder.tokenised(CAPTIONS)
    assert ids[2, 0] == 0
    assert ids[2, -1] == 1


def test_neighbours_in_a_batch_do_not_matter(folders):
    for folder in folders.values():
        encoder = HubTextEncoder(Reading(folder, length=9))
        together = encoder(CAPTIONS, CPU)
        for row, caption in enumerate(CAPTIONS):
            alone = encoder([caption], CPU)
            said = alone.said[0]
            assert torch.allclose(together.tokens[row][said], alone.tokens[0][said], atol=1e-5)


def test_who_read_a_caption_is_told_by_weights_words_layer_and_length(folders, tmp_path):
    folder = folders["CLIPTextModel"]
    readings = [
        Reading(folder),
        Reading(folder, "penultimate"),
        Reading(folder, length=5),
        Reading(folders["CLIPTextModelWithProjection"]),
    ]
    assert len({identity(reading) for reading in readings}) == len(readings)
    assert identity(Reading(folder)) == identity(Reading(folder, length=99))


def test_what_is_no_text_encoder_is_refused(folders, tmp_path):
    with pytest.raises(UsageError, match=r"no config\.json"):
        check(Reading(tmp_path))
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in ("config.json", "model.safetensors"):
        (alone / file).write_bytes((folders["CLIPTextModel"] / file).read_bytes())
    with pytest.raises(UsageError, match="no tokeniser"):
        check(Reading(Path(alone)))
    with pytest.raises(UsageError, match="1 token or more"):
        check(Reading(folders["T5"], length=0))
