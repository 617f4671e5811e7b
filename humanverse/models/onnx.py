"""An ONNX network on one CPU thread, so that the same input gives the same bytes on every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from humanverse.errors import UsageError


def onnx_session(path: Path) -> Any:
    """An onnxruntime session of a file.

    Raises:
        UsageError: the file cannot be read as ONNX.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} cannot be read as ONNX: {reason}") from error
