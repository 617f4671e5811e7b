"""Models of the transformers library out of a folder on this machine, and nothing else.

Such a folder holds `config.json`, `model.safetensors` and `preprocessor_config.json`. Code that
lies beside them is not run, pickles are not opened, and the library asks no hub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from humanverse.errors import UsageError

CONFIG: Final = "config.json"
PREPROCESSOR: Final = "preprocessor_config.json"
WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")
"""Whole, or the index of parts."""


def check_folder(folder: Path | None, setting: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """The config of a folder with a model of one of these types, read without loading anything.

    `setting` names what the user chose, for messages.

    Raises:
        UsageError: the package, a file, or the folder is missing, or the model is of another type.
    """
    if folder is not None and (folder / CONFIG).is_file() and not (folder / PREPROCESSOR).is_file():
        raise UsageError(f"{folder} is no folder with a model: it has no {PREPROCESSOR}")
    return check_model(folder, setting, kinds)


def check_model(folder: Path | None, setting: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """The same of a folder whose model looks at no pictures."""
    if folder is None:
        raise UsageError(f"{setting} needs a folder with a model: see docs/models.md")
    if find_spec("transformers") is None or find_spec("torchvision") is None:
        raise UsageError(f"{setting} needs the extra: pip install 'humanverse[annotate]'")
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} is no folder with a model: it has no {CONFIG}")
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UsageError(f"{folder} has no {WEIGHTS[0]}: pickled weights are not opened")
    config = read_json(folder / CONFIG)
    if config.get("model_type") not in kinds:
        raise UsageError(
            f"{folder} holds a model of type {config.get('model_type')}; "
            f"{setting} takes {' or '.join(kinds)}"
        )
    return config


def load_model(folder: Path, name: str, dtype: str = "float32", **changes: Any) -> Any:
    """A folder's model by its class's name in transformers, for inference.

    `changes` are to its config.

    Raises:
        UsageError: its files do not make up such a model.
    """
    kind = getattr(library(), name)
    try:
        model, told = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=dtype,
            output_loading_info=True,
            **changes,
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"{folder} cannot be loaded as {name}: {why}") from error
    refuse_missing(folder, told)
    return model.eval()


def refuse_missing(folder: Path, told: Mapping[str, Any]) -> None:
    """See that what a library loaded of a folder had weights for all of the network.

    Raises:
        UsageError: some are missing.
    """
    if told["missing_keys"]:
        lost = min(told["missing_keys"])
        raise UsageError(f"{folder} has no weights for {lost}, among others: they would be random")


def load_processor(folder: Path, name: str, file: str = PREPROCESSOR) -> Any:
    """A folder's image processor, or what else lies in a file, by its class in transformers."""
    kind = getattr(library(), name)
    try:
        return kind.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"{folder / file} cannot be read: {why}") from error


def normalisation(processor: Any) -> tuple[list[float], list[float]]:
    """Mean and deviation of red, green and blue, 0 to 255, as a processor would apply them."""
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    if not processor.do_normalize:
        return [0.0] * 3, [1 / factor] * 3
    return [m / factor for m in processor.image_mean], [d / factor for d in processor.image_std]


def library() -> Any:
    """The library, with every switch off that could lead it to the hub. It reads them at import."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return transformers


def read_json(path: Path) -> dict[str, Any]:
    """What a file of JSON holds; empty if that is no object.

    Raises:
        UsageError: it is no JSON.
    """
    try:
        read = json.loads(path.read_text())
    except (UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON: {error}") from error
    return read if isinstance(read, dict) else {}
