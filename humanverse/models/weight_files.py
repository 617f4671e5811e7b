"""State dicts out of a file, as arrays alone: code in it is never run."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanverse.errors import UsageError

if TYPE_CHECKING:
    import torch


def check_weights(weights: Path | None, setting: str) -> None:
    """Refuse a file that is none. `setting` names what the user chose, for messages.

    Raises:
        UsageError: the file or a package is missing.
    """
    if weights is None:
        raise UsageError(f"{setting} needs a file of weights: see docs/models.md")
    if find_spec("transformers") is None or find_spec("torchvision") is None:
        raise UsageError(f"{setting} needs the extra: pip install 'humanverse[annotate]'")
    if not weights.is_file():
        raise UsageError(f"there is no file {weights}")


def load_weights(weights: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, or of a checkpoint of torch, by name.

    Raises:
        UsageError: it is neither, or holds code.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if weights.suffix == ".safetensors":
        try:
            return load_file(weights)
        except SafetensorError as error:
            raise UsageError(f"{weights} cannot be read: {error}") from error
    try:
        read: Any = torch.load(weights, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{weights} holds more than arrays, and is not opened: docs/models.md says how to "
            "turn it into safetensors"
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise UsageError(f"{weights} cannot be read: {str(error).splitlines()[0]}") from error
    state = read.get("state_dict", read) if isinstance(read, dict) else {}
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
