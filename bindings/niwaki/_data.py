"""Samples in memory, put where the native part reads them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from niwaki._errors import UsageError


def as_numpy(value: Any):
    """A NumPy array of an array, torch.Tensor, DLPack or buffer object, or nested lists."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    return np.asarray(value)


def is_array(value: Any) -> bool:
    return any(hasattr(value, name) for name in ("__array__", "__dlpack__", "__array_interface__"))


def data_file(data: Any, inputs: list[str], folder: str, stem: str) -> str:
    """The path of the data: as given, or of an .npz written into `folder`; "" for None."""
    if data is None:
        return ""
    if isinstance(data, (str, os.PathLike)):
        return os.fspath(data)
    import numpy as np

    path = Path(folder) / f"{stem}.npz"
    np.savez(path, **{name: as_numpy(array) for name, array in _arrays(data, inputs, stem).items()})
    return str(path)


def _arrays(data: Any, inputs: list[str], stem: str) -> dict[str, Any]:
    if is_array(data):
        return {_only(inputs, stem): data}
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, tuple) and len(data) == 2:
        return {**_arrays(data[0], inputs, stem), "labels": data[1]}
    if isinstance(data, Iterable):
        return _joined([_arrays(batch, inputs, stem) for batch in data], stem)
    raise UsageError(
        f"{stem} is a {type(data).__name__}", "E2005",
        found="needed a path, an array, a dict of arrays, (inputs, labels), or an iterable of those",
    )


def _joined(batches: list[dict[str, Any]], stem: str) -> dict[str, Any]:
    import numpy as np

    if not batches:
        raise UsageError(f"{stem} holds no batch", "E1712")
    if any(batch.keys() != batches[0].keys() for batch in batches):
        raise UsageError(f"the batches of {stem} have different names", "E1704")
    joined = {}
    for name in batches[0]:
        parts = [as_numpy(batch[name]) for batch in batches]
        joined[name] = np.concatenate(parts) if parts[0].ndim else parts[0]
    return joined


def _only(inputs: list[str], stem: str) -> str:
    if len(inputs) != 1:
        raise UsageError(f"{stem} is one array, the model has {len(inputs)} inputs", "E1704",
                         found=f"inputs: {', '.join(inputs)}", hint="give a dict of arrays by input name")
    return inputs[0]
