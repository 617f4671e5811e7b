"""A CLIP of transformers with seeded random weights and a tokeniser of its own, made small."""

import json

import torch
import transformers

WIDTH, SIDE, CONTEXT = 24, 32, 16
START, END = "<|startoftext|>", "<|endoftext|>"


def clip_folder(path, seed=0, width=WIDTH, act="quick_gelu"):
    """A folder as the library saves it."""
    torch.manual_seed(seed)
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_act": act,
        "projection_dim": width,
    }
    words = tokeniser_files(path)
    text = {
        "vocab_size": len(words),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": words[START],
        "eos_token_id": words[END],
        "pad_token_id": words[END],
    }
    config = transformers.CLIPConfig(
        text_config=tower | text,
        vision_config=tower | {"image_size": SIDE, "patch_size": 8},
        projection_dim=width,
    )
    model = transformers.CLIPModel(config)
    with torch.no_grad():  # the library's own start is so near to zero that all pictures look alike
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.normal_(0, 0.2)
            elif "bias" in name:
                value.normal_(0, 0.1)
    model.save_pretrained(path)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(path)
    return path


def tokeniser_files(path):
    """The files of a tokeniser whose words are letters; its vocabulary."""
    path.mkdir(parents=True, exist_ok=True)
    letters = [chr(n) for n in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    numbers = {word: n for n, word in enumerate(words)}
    (path / "vocab.json").write_text(json.dumps(numbers))
    (path / "merges.txt").write_text("#version: 0.2\n")
    transformers.CLIPTokenizer.from_pretrained(path, local_files_only=True).save_pretrained(path)
    return numbers
