"""Captions in batches against the library's own `generate`, one picture at a time."""

import json
import shutil

import numpy as np
import pytest
from models.odd import odd_pictures

from humanverse.errors import UsageError
from humanverse.models.captioners import PROMPT, HubCaptioner, check
from humanverse.models.torched import How

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from models.small_captioners import blip2_folder, llava_folder  # noqa: E402

CPU = How(device="cpu", batch=3)
TOKENS = 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("captioners")
    return {"blip2": blip2_folder(base / "blip2"), "llava": llava_folder(base / "llava")}


def by_transformers(folder, image, text):
    """What a folder's model says of one picture."""
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
    processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
    words = {} if text is None else {"text": text}
    shape = {"input_data_format": "channels_last"}
    given = processor(images=image, return_tensors="pt", **shape, **words)
    with torch.no_grad():
        tokens = model.eval().generate(**given, do_sample=False, max_new_tokens=TOKENS)
    said = given["input_ids"].shape[1] if text else 0
    return " ".join(processor.decode(tokens[0, said:], skip_special_tokens=True).split())


@pytest.mark.parametrize(
    ("name", "prompt", "text"),
    [
        ("blip2", None, None),
        ("blip2", "a photo of", "a photo of"),
        ("llava", None, f"USER: <image>\n{PROMPT} ASSISTANT:"),
        ("llava", "Who?", "USER: <image>\nWho? ASSISTANT:"),
    ],
)
def test_captions_are_those_of_the_library(folders, name, prompt, text):
    ours = HubCaptioner(name, folders[name], prompt, TOKENS, CPU)
    images = list(odd_pictures())[:2] + [np.full((40, 30, 3), 200, np.uint8)] * 2
    found = ours.caption(images)
    assert found[:3] == [by_transformers(folders[name], image, text) for image in images[:3]]
    assert found[2] == found[3]
    assert len(set(found)) > 1


def test_a_chat_template_of_the_folder_asks_in_its_own_words(folders, tmp_path):
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    template = (
        "{% for m in messages %}{% for c in m['content'] %}"
        "{{ '<image>' if c['type'] == 'image' else '[' + c['text'] + ']' }}"
        "{% endfor %}{% endfor %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    image = next(iter(odd_pictures()))
    (found,) = HubCaptioner("llava", folder, "Who?", TOKENS, CPU).caption([image])
    assert found == by_transformers(folder, image, "<image>[Who?]")


@pytest.mark.parametrize("name", ["blip2", "llava"])
def test_neighbours_in_a_batch_do_not_matter(folders, name):
    ours = HubCaptioner(name, folders[name], None, TOKENS, CPU)
    images = list(odd_pictures(1))
    assert ours.caption(images) == [ours.caption([image])[0] for image in images]
    assert ours.caption([]) == []


def test_a_caption_has_no_more_tokens_than_are_wanted(folders):
    ours = HubCaptioner("blip2", folders["blip2"], None, 3, CPU)
    assert max(len(text) for text in ours.caption(list(odd_pictures()))) <= 3


def test_folders_of_an_older_layout_are_completed_or_refused(folders, tmp_path):
    folder = shutil.copytree(folders["blip2"], tmp_path / "blip2")
    edit(folder / "processor_config.json", num_query_tokens=None)
    image = next(iter(odd_pictures()))
    told = [HubCaptioner("blip2", f, "a", TOKENS, CPU) for f in (folder, folders["blip2"])]
    assert told[0].caption([image]) == told[1].caption([image])
    edit(folder / "config.json", image_token_index=None)
    with pytest.raises(UsageError, match="no image_token_index"):
        check("blip2", folder)
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    edit(folder / "processor_config.json", patch_size=None)
    with pytest.raises(UsageError, match="no patch_size"):
        HubCaptioner("llava", folder, None, TOKENS, CPU)


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_another_model_and_a_folder_without_tokeniser_are_refused(folders, tmp_path):
    with pytest.raises(UsageError, match=r"type llava; caption\.model=blip2 takes blip-2"):
        check("blip2", folders["llava"])
    with pytest.raises(UsageError, match="needs a folder"):
        check("llava", None)
    folder = shutil.copytree(folders["blip2"], tmp_path / "blip2")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="no tokeniser"):
        check("blip2", folder)
