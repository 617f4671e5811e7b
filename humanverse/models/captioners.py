"""Captions by BLIP-2 (arXiv 2301.12597) or LLaVA (arXiv 2304.08485), through transformers.

Decoding is greedy, so that the same picture gets the same words whoever is beside it in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from humanverse.errors import UsageError
from humanverse.models.base import Image
from humanverse.models.clip_pixels import trimmed
from humanverse.models.hub_folder import CONFIG, check_folder, load_model, load_processor
from humanverse.models.torched import Engine, How, is_half

if TYPE_CHECKING:
    import torch

KINDS: Final = {"blip2": "blip-2", "llava": "llava"}
"""Name of a captioner here: model type of its config."""
CLASSES: Final = {
    "blip2": "Blip2ForConditionalGeneration",
    "llava": "LlavaForConditionalGeneration",
}
PROMPT: Final = "Describe this photograph in one or two sentences."
"""What LLaVA is asked unless told otherwise; BLIP-2 goes on from nothing."""


class HubCaptioner:
    """Says what a picture shows."""

    def __init__(
        self,
        name: str,
        folder: Path,
        prompt: str | None = None,
        tokens: int = 64,
        how: How | None = None,
    ) -> None:
        """Load a folder as transformers has it: model, image processor and tokeniser.

        Args:
            name: blip2 or llava.
            folder: where the files lie.
            prompt: what the caption goes on from (BLIP-2), or the question (LLaVA).
            tokens: most tokens of a caption; a longer one breaks off.
            how: device, batch, precision. In bf16 the weights are too, which halves them.

        Raises:
            UsageError: the folder holds no such model.
        """
        check(name, folder)
        how = how or How()
        model = load_model(folder, CLASSES[name], "bfloat16" if is_half(how) else "float32")
        self._processor = load_processor(folder, "AutoProcessor", "processor_config.json")
        _complete(self._processor, model.config, folder)
        # What is padded on the right would go on from the padding.
        self._processor.tokenizer.padding_side = "left"
        self._text = _question(self._processor, prompt) if name == "llava" else prompt
        self._speaks_on = not model.config.is_encoder_decoder
        self._options = {"do_sample": False, "num_beams": 1, "max_new_tokens": tokens}
        self._engine = Engine(_generating(model), how)

    def caption(self, images: Sequence[Image]) -> list[str]:
        """One text an image, without blanks around it."""
        found = self._engine.in_batches(images, self._step)
        told = [self._processor.tokenizer.decode(r[0], skip_special_tokens=True) for r in found]
        return [" ".join(text.split()) for text in told]

    def _step(self, images: Sequence[Image]) -> tuple[torch.Tensor]:
        given = self._inputs(images)
        tokens: torch.Tensor = self._engine(**given, **self._options)
        said = given["input_ids"].shape[1] if self._speaks_on and "input_ids" in given else 0
        return (tokens[:, said:],)

    def _inputs(self, images: Sequence[Image]) -> dict[str, torch.Tensor]:
        shown = [np.ascontiguousarray(trimmed(image)) for image in images]
        words = {} if self._text is None else {"text": [self._text] * len(shown), "padding": True}
        given = self._processor(
            images=shown, input_data_format="channels_last", return_tensors="pt", **words
        )
        return {name: value.to(self._engine.device) for name, value in given.items()}


def check(name: str, folder: Path | None) -> None:
    """Refuse a folder that is none, without loading it.

    Raises:
        UsageError: a file or the package is missing, or the model is of another type.
    """
    config = check_folder(folder, f"caption.model={name}", (KINDS[name],))
    assert folder is not None
    if name == "blip2" and config.get("image_token_index") is None:
        raise UsageError(f"{folder / CONFIG} has no image_token_index: take a newer copy of it")
    if not any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json")):
        raise UsageError(f"{folder} has no tokeniser: no tokenizer.json, no vocab.json")


def _complete(processor: Any, config: Any, folder: Path) -> None:
    """See to what older folders do not tell: how many tokens a picture is.

    Raises:
        UsageError: it cannot be known.
    """
    if config.model_type == KINDS["blip2"]:
        processor.num_query_tokens = config.num_query_tokens
    elif processor.patch_size is None:
        raise UsageError(f"{folder} has no patch_size for its processor: take a newer copy of it")


def _question(processor: Any, prompt: str | None) -> str:
    """A question on a picture, in the words that a model was taught with."""
    asked = prompt or PROMPT
    if getattr(processor, "chat_template", None) is None:
        return f"USER: {processor.image_token}\n{asked} ASSISTANT:"
    content = [{"type": "image"}, {"type": "text", "text": asked}]
    turns = [{"role": "user", "content": content}]
    return str(processor.apply_chat_template(turns, add_generation_prompt=True))


def _generating(model: Any) -> torch.nn.Module:
    """A model as a network whose output are the tokens that it generates."""
    import torch

    class Generating(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **given: Any) -> Any:
            return self.model.generate(**given)

    return Generating()
