"""Autoencoders and text encoders with seeded random weights, as the hub lays them out."""

import diffusers
import torch
import transformers
from models.small_inpainting import WORDS, tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors

PIECES = ["<pad>", "</s>", "<unk>", "a", "person", "in", "room", "red"]


def kl_folder(path, **config):
    """An AutoencoderKL that halves twice."""
    torch.manual_seed(0)
    network = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        **config,
    )
    network.save_pretrained(path)
    return path


def tiny_folder(path):
    """An AutoencoderTiny that halves twice."""
    torch.manual_seed(0)
    sizes = {"encoder_block_out_channels": (8,) * 3, "decoder_block_out_channels": (8,) * 3}
    blocks = {"num_encoder_blocks": (1, 1, 1), "num_decoder_blocks": (1, 1, 1)}
    diffusers.AutoencoderTiny(**sizes, **blocks).save_pretrained(path)
    return path


def clip_folder(path, kind="CLIPTextModel", beside=True):
    """A CLIP's text tower; its tokeniser lies beside it, as in a pipeline, or in the folder."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 2, "vocab_size": len(WORDS), "max_position_embeddings": 12}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = transformers.CLIPTextConfig(**sizes, **marks, projection_dim=24)
    if kind == "CLIPModel":
        seen = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
        seen |= {"num_attention_heads": 2, "image_size": 16, "patch_size": 8}
        # As OpenAI's own files: what the tower's part of the config says of its width is not so.
        told = text.to_dict() | {"projection_dim": 512}
        config = transformers.CLIPConfig(text_config=told, vision_config=seen, projection_dim=24)
    else:
        config = text
    getattr(transformers, kind)(config).save_pretrained(path)
    words = path.parent / path.name.replace("text_encoder", "tokenizer") if beside else path
    tokenizer(path.parent / "words").save_pretrained(words)
    return path


def t5_folder(path):
    """A T5 with its tokeniser."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(PIECES), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    transformers.T5EncoderModel(config).save_pretrained(path)
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(PIECES)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **marks).save_pretrained(path)
    return path
