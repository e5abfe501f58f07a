"""The native part, loaded at first use: it links the libraries that the torch package brings."""

from __future__ import annotations

import functools


@functools.cache
def core():
    import torch  # noqa: F401  loads LibTorch

    from niwaki import _core

    return _core
