"""The verbs: one function each, with the options of the command line."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niwaki._data import data_file
from niwaki._errors import UsageError
from niwaki._model import Model, load
from niwaki._native import core
from niwaki._report import Report

# What every verb shares, with the names of JobRequest; the others are the verb's or pass's own.
SHARED = (
    "metric", "max_drop", "max_size", "max_latency_ratio", "keep", "only", "output_name", "batch", "seed", "threads",
    "verify", "latency", "target", "require_gain", "allow_growth", "accept_inconclusive", "clean", "encode", "short_names",
    "opset", "fixed_inputs", "preprocess", "csv",
)


def quantize(model, *, calibration=None, samples: int = 512, evaluation=None, report_dir=None, **options) -> Model:
    """Makes weights, and where it pays activations, integers.

    `model` is a Model or a path; `calibration` and `evaluation` are a path (.npz, folder of .npy, idx, CSV), an array, a dict
    of arrays, `(inputs, labels)` or an iterable of those. `preprocess` (a dict or a YAML file) and `csv` (a dict) say how files
    are read. Options of the verb (bits, mode, granularity, ...: `niwaki.options("quantize")`) and those that
    all verbs share (metric, max_drop, keep, ...) have the command line's names and defaults.
    """
    return _verb("quantize", model, calibration, samples, evaluation, report_dir, options)


def prune(model, *, calibration=None, samples: int = 512, evaluation=None, report_dir=None, **options) -> Model:
    """Removes channels, or makes weights zero, and repairs what is left.

    Options of the verb (pattern, macs_ratio, sparsity, importance, refit, round_to: `niwaki.options("prune")`) and those
    that all verbs share have the command line's names and defaults; the other arguments are those of `quantize`.
    """
    return _verb("prune", model, calibration, samples, evaluation, report_dir, options)


def factorize(model, *, calibration=None, samples: int = 512, evaluation=None, report_dir=None, **options) -> Model:
    """Replaces weights by products of two or three narrow ones.

    Options of the verb (energy, rank, macs_ratio or sparsity; goal, refit, round_to: `niwaki.options("factorize")`) and those that
    all verbs share have the command line's names and defaults; the other arguments are those of `quantize`.
    """
    return _verb("factorize", model, calibration, samples, evaluation, report_dir, options)


def finetune(model, *, train, calibration=None, samples: int = 512, evaluation=None, report_dir=None, **options) -> Model:
    """Trains the weights on labelled samples.

    `train` is data as `quantize` takes it, with labels. Options of the verb (epochs, steps, lr, batch, loss, optimizer, ...:
    `niwaki.options("finetune")`) and those that all verbs share have the command line's names and defaults, but `batch`, which
    is that of the training. `work_dir` keeps what a stopped run needs to go on: call again with the same arguments.
    """
    return _training_verb("finetune", model, train, "", calibration, samples, evaluation, report_dir, options)


def distill(student, *, teacher, train, calibration=None, samples: int = 512, evaluation=None, report_dir=None, **options) -> Model:
    """Trains a student to answer as its teacher does; labels are used where `train` has them.

    `teacher` is a Model or a path. Options of the verb: `niwaki.options("distill")`; the rest is as for `finetune`.
    """
    return _training_verb("distill", student, train, teacher, calibration, samples, evaluation, report_dir, options)


def _training_verb(verb, model, train, teacher, calibration, samples, evaluation, report_dir, options) -> Model:
    work_dir = options.pop("work_dir", None)
    own_names = {option["name"] for option in json.loads(core().verb_options(verb))}
    own = {key: value for key, value in options.items() if key in own_names}
    shared, unknown = _split({key: value for key, value in options.items() if key not in own_names})
    if unknown:
        raise UsageError(f"unknown option '{next(iter(unknown))}'", "E2004")
    steps, _ = core().expand_verb(verb, json.dumps(own), calibration is not None, shared.get("encode", True))
    extra = {"must_shrink": False, "training": train, "teacher": teacher, **shared}
    if work_dir is not None:
        extra["work_directory"] = os.fspath(work_dir)
    return _run(verb, model, json.loads(steps), calibration, samples, evaluation, report_dir, extra)


def _verb(verb, model, calibration, samples, evaluation, report_dir, options) -> Model:
    shared, own = _split(options)
    steps, notes = core().expand_verb(verb, json.dumps(own), calibration is not None, shared.get("encode", True))
    del notes  # the report has them
    return _run(verb, model, json.loads(steps), calibration, samples, evaluation, report_dir, {"must_shrink": verb == "quantize", "keep_weights": verb == "prune" and own.get("refit") in ("off", False), **shared})


def convert(model, *, report_dir=None, **options) -> Model:
    """Cleans a model up without changing what it computes, or raises its opset."""
    shared, own = _split(options)
    if own:
        raise UsageError(f"unknown option '{next(iter(own))}'", "E2004")
    return _run("convert", model, [], None, 0, None, report_dir, {"must_shrink": False, **shared})


def apply(model, steps: Iterable[str | Mapping[str, Mapping[str, Any]]], *, calibration=None, samples: int = 512,
          evaluation=None, report_dir=None, **options) -> Model:
    """Runs passes in order, as the steps of a recipe: `["fold_constants", {"store_weights": {"bits": 4}}]`."""
    shared, own = _split(options)
    if own:
        raise UsageError(f"unknown option '{next(iter(own))}'", "E2004")
    listed = [
        {"name": step} if isinstance(step, str) else {"name": name, "options": dict(settings)}
        for step in steps for name, settings in ([(step, {})] if isinstance(step, str) else step.items())
    ]
    return _run("apply", model, listed, calibration, samples, evaluation, report_dir, {"must_shrink": False, **shared})


def passes() -> list[dict[str, Any]]:
    """The passes: name, help, options."""
    return json.loads(core().passes())


def options(name: str) -> list[dict[str, Any]]:
    """The options of a verb or pass: name, type, help, default."""
    if own := json.loads(core().verb_options(name)):
        return own
    for entry in passes():
        if entry["name"] == name:
            return entry["options"]
    raise UsageError(f"unknown verb or pass '{name}'", "E2003")


@dataclass(frozen=True)
class Difference:
    """How far an output of two models is apart."""

    output: str
    max_abs_diff: float
    sqnr_db: float | None


@dataclass(frozen=True)
class Comparison:
    """Outputs of two models on the same samples; the first model is the reference."""

    outputs: list[Difference]
    bytes_before: int
    bytes_after: int


def compare(a, b, *, data) -> Comparison:
    """Runs two models on the same samples with the built-in executor."""
    import numpy as np
    import torch

    first, second = (model if isinstance(model, Model) else load(model) for model in (a, b))
    names = [port.name for port in first.inputs]
    with tempfile.TemporaryDirectory(prefix="niwaki-") as folder:
        path = data_file(data, names, folder, "data")
        if not zipfile.is_zipfile(path):
            raise UsageError(f"'{path}' is no .npz file", "E1714", found="niwaki.compare takes .npz files and arrays",
                             hint="`niwaki compare A B --data DATA` reads folders, idx and CSV files too")
        with np.load(path) as archive:
            inputs = {name: archive[name] for name in archive.files if name in names}
    differences = []
    after = second.run(inputs)
    for name, reference in first.run(inputs).items():
        if name not in after:
            raise UsageError(f"the second model has no output '{name}'", "E2011")
        x, y = reference.to(torch.float64), after[name].to(torch.float64)
        noise, signal = float((x - y).square().sum()), float(x.square().sum())
        sqnr = 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else None
        differences.append(Difference(name, float((x - y).abs().max()) if x.numel() else 0.0, sqnr))
    return Comparison(differences, first.file_bytes, second.file_bytes)


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    shared = {key: value for key, value in options.items() if key in SHARED}
    own = {key: value for key, value in options.items() if key not in SHARED}
    for key in ("keep", "only"):
        if isinstance(shared.get(key), str):
            shared[key] = [shared[key]]
        elif isinstance(shared.get(key), Sequence):
            shared[key] = list(shared[key])
    return shared, own


def _run(verb: str, model, steps, calibration, samples: int, evaluation, report_dir, shared: dict[str, Any]) -> Model:
    source = model if isinstance(model, Model) else load(model)
    names = [port.name for port in source.inputs]
    folder = tempfile.TemporaryDirectory(prefix="niwaki-")
    scratch = Path(folder.name) / "in"
    scratch.mkdir()
    shared = dict(shared)
    teacher = shared.pop("teacher", "")
    training = shared.pop("training", None)
    stem = Path(source._name).stem
    output = Path(folder.name) / f"{stem}.{verb}.onnx"
    request = {
        # the interpreter beside the "program" runs ONNX Runtime
        "program": sys.executable, "command_line": f"niwaki.{verb}('{source._name}')",
        "model": _path(source, str(scratch)), "output": str(output), "steps": steps,
        "calibration": {"path": data_file(calibration, names, str(scratch), "calibration"), "samples": samples},
        "evaluation": {"path": data_file(evaluation, names, str(scratch), "evaluation")},
        "training": {"path": data_file(training, names, str(scratch), "training")},
        "teacher": _path(teacher, str(scratch), "teacher.onnx") if isinstance(teacher, Model) else os.fspath(teacher),
        "report_directory": os.fspath(report_dir) if report_dir else "", "write_report": report_dir is not None,
        **{key: _plain(key, value) for key, value in shared.items() if value is not None},
    }
    if report_dir is not None:
        Path(report_dir).mkdir(parents=True, exist_ok=True)
    report, _ = core().run_job(json.dumps(request))
    return Model(core().read_model(str(output)), output.name, folder, Report(json.loads(report)))


def _plain(key: str, value: Any) -> Any:
    """An option as the native part reads it."""
    if key.startswith("max_"):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _path(model: Model, folder: str, name: str = "model.onnx") -> str:
    """The file of a model, written anew where it is gone."""
    if os.path.exists(model.path):
        return model.path
    return str(model.save(Path(folder) / name).path)
