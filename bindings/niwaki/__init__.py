"""Niwaki makes trained models small and fast, and proves it with a report.

    import niwaki
    small = niwaki.quantize("model.onnx", calibration="calib.npz", evaluation="test.npz", max_drop="1pt")
    small.report.require_pass()
    small.save("model.int8.onnx")

torch and the native library load at first use.
"""

from niwaki._archive import pack, unpack
from niwaki._errors import (
    EnvironmentError,
    Error,
    GateMissed,
    InternalError,
    ModelError,
    UnsupportedError,
    UsageError,
)
from niwaki._model import Model, Port, Saved, load, load_bytes
from niwaki._report import Report
from niwaki._verbs import Comparison, Difference, apply, compare, convert, distill, factorize, finetune, options, passes, prune, quantize

__version__ = "0.1.0"
__all__ = [
    "Comparison", "Difference", "EnvironmentError", "Error", "GateMissed", "InternalError", "Model", "ModelError", "Port",
    "Report", "Saved", "UnsupportedError", "UsageError", "apply", "compare", "convert", "distill", "factorize", "finetune",
    "from_module", "load", "load_bytes", "nn", "options", "pack", "passes", "prune", "quantize", "unpack",
]


def __getattr__(name: str):
    """A function for each pass: niwaki.store_weights(model, bits=4); niwaki.nn and from_module, which need torch at once."""
    if name in ("nn", "from_module"):
        import importlib

        nn = importlib.import_module("niwaki.nn")
        return nn if name == "nn" else nn.from_module
    if name.startswith("_") or name not in {entry["name"] for entry in passes()}:
        raise AttributeError(f"module 'niwaki' has no attribute '{name}'")

    def run_pass(model, *, calibration=None, evaluation=None, report_dir=None, **settings):
        from niwaki._verbs import _split

        shared, own = _split(settings)
        return apply(model, [{name: own}], calibration=calibration, evaluation=evaluation, report_dir=report_dir, **shared)

    run_pass.__name__ = run_pass.__qualname__ = name
    run_pass.__doc__ = next(entry["help"] for entry in passes() if entry["name"] == name)
    return run_pass
