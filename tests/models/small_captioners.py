"""BLIP-2 and LLaVA of transformers with seeded random weights and a tokeniser of letters."""

import string

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

SIDE, PATCH, QUERIES = 16, 8, 3
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}


def tokeniser():
    """One token a character."""
    words = [*SPECIAL, *string.ascii_letters, *string.punctuation, *string.digits, " ", "\n"]
    letters = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    letters.decoder = decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=letters,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )


def _words(letters):
    return {
        "vocab_size": len(letters),
        "pad_token_id": letters.pad_token_id,
        "bos_token_id": letters.bos_token_id,
        "eos_token_id": letters.eos_token_id,
    }


def _save(path, model, processor):
    with torch.no_grad():  # the library's own start makes all pictures alike
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.normal_(0, 0.3)
            elif "bias" in name:
                value.normal_(0, 0.1)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    processor.image_processor.save_pretrained(path)
    return path


def blip2_folder(path):
    """A folder as the library saves it."""
    torch.manual_seed(0)
    letters = tokeniser()
    text = transformers.OPTConfig(
        hidden_size=24,
        ffn_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        word_embed_proj_dim=24,
        max_position_embeddings=64,
        **_words(letters),
    )
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config={
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "vocab_size": len(letters),
        },
        text_config=text.to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=letters.convert_tokens_to_ids("<image>"),
    )
    pictures = transformers.BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    processor = transformers.Blip2Processor(pictures, letters, num_query_tokens=QUERIES)
    return _save(path, transformers.Blip2ForConditionalGeneration(config), processor)


def llava_folder(path):
    """A folder as the library saves it."""
    torch.manual_seed(0)
    letters = tokeniser()
    text = transformers.LlamaConfig(
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        **_words(letters),
    )
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION).to_dict(),
        text_config=text.to_dict(),
        image_token_index=letters.convert_tokens_to_ids("<image>"),
    )
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        letters,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return _save(path, transformers.LlavaForConditionalGeneration(config), processor)
