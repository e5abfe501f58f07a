"""The compact archive."""

from __future__ import annotations

import os
from pathlib import Path

from niwaki._model import Model, Saved
from niwaki._native import core


def pack(model: Model | str | os.PathLike[str], path: str | os.PathLike[str], *, codec: str = "auto", overwrite: bool = False) -> Saved:
    """Writes a model as a `.niwaki` archive, from which the same bytes come back; every verb and `load` read it.

    `codec` is auto, zstd or rans.
    """
    source = model.path if isinstance(model, Model) else os.fspath(model)
    written, sha256, count = core().pack(source, os.fspath(path), codec, overwrite)
    return Saved(Path(written), sha256, count)


def unpack(archive: str | os.PathLike[str], path: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
    """Writes the model of an archive, and beside it the data files that it refers to; the paths, the model's first."""
    written, _, others = core().unpack(os.fspath(archive), os.fspath(path), overwrite)
    return [Path(written), *map(Path, others)]
