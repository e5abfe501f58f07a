#!/usr/bin/env python3
"""Checks the rules of the house that a program can check.

Errors (exit code 1): an include that crosses the layers upward or sideways, a third-party header outside its places, a file
at twice its size limit, a path of somebody's machine. Warnings: a missing mirror test, a file over its size limit, a word
that the vocabulary replaces, a line that is too long.
usage: scripts/check_house.py [--quiet]
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Core folders and units from low to high: a file may include its own level and those below.
LEVELS = [
    "error json tensor options packing parallel random progress digest mapped_file atomic_file",
    "graph",
    "graph_edit graph_text verify linear_view onnx/ target linear_algebra footprint",
    "axes/ report/",
    "ops/ executor",
    "dataset statistics histogram train/",
    "metrics intervals evaluate compare runtime_worker worker_process quality measure min_cut",
    "pass checkpoint",
    "recipe pipeline budget search gate",
]
SIBLINGS = ("passes", "formats")
LEAVES = ("bindings", "tests", "benchmarks", "examples", "compress/cli")

# Third-party headers and the only places that may include them (patterns of paths); tests and benchmarks may all.
GRANTED = {
    r"torch/": r"compress/train/.*\.cpp|formats/torch.*|compress/ops/fake_quantize\.cpp|bindings/.*|passes/.*train.*",
    r"onnx/": r"compress/onnx/.*|compress/footprint\.cpp|formats/onnx_.*",
    r"google/protobuf": r"compress/onnx/.*|formats/onnx_.*",
    r"yaml-cpp/": r"compress/recipe.*\.cpp",
    r"zstd\.h": r"formats/archive/zstd_stream\.cpp",
    r"CLI/": r"compress/cli/.*",
    r"pybind11/": r"bindings/.*",
}

# Word of a public name -> the word that we use (the vocabulary of docs/glossary.md).
BANNED = {
    "multiplier": "scale", "per_axis": "per_channel", "group_wise": "per_block", "group_size": "block_size",
    "channel_axis": "axis", "nbits": "bits", "observer": "range_estimator", "profiling": "calibration",
    "hessian": "gram", "density": "sparsity", "keep_mask": "mask", "criterion": "importance",
    "num_components": "rank", "big_model": "teacher", "y_true": "labels", "psnr_db": "sqnr_db", "size_mb": "bytes",
}
# ONNX and its runtimes spell these their own way in attributes that we must write.
FOREIGN = re.compile(r'"[^"]*"')
VAGUE_FILES = {"util", "utils", "misc", "manager", "handler", "info", "helpers", "common"}
MACHINE_PATH = re.compile(r"/(?:home|Users|root|work|tmp/w)/[A-Za-z0-9_.-]+")

LIMITS = {".h": 60, ".cpp": 250, "core.h": 150, "test": 300}
LINE = 100

errors, warnings = [], []


def tracked():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True,
                            capture_output=True, check=False)
    if listed.returncode == 0:
        return sorted(path for path in listed.stdout.split("\n") if path and (ROOT / path).is_file())
    folders = ("compress", "formats", "passes", "bindings", "tests", "scripts", "examples", "benchmarks", "docs")
    return sorted(str(p.relative_to(ROOT)) for f in folders for p in (ROOT / f).rglob("*") if p.is_file())


def level(path):
    """The level of a core file; None where it has none."""
    inside = path.removeprefix("compress/")
    name = re.sub(r"\.(h|cpp|cc|cpp\.in)$", "", inside)
    for index, words in enumerate(LEVELS):
        for word in words.split():
            if name == word or word.endswith("/") and inside.startswith(word):
                return index
    return None


def layer(path):
    if path.startswith(LEAVES):
        return "leaf"
    return next((s for s in SIBLINGS if path.startswith(s + "/")), "core" if path.startswith("compress/") else None)


def check_include(path, number, included):
    here, there = layer(path), layer(included)
    where = f"{path}:{number}"
    if there is None:
        for pattern, places in GRANTED.items():
            if re.match(pattern, included) and here != "leaf" and not re.fullmatch(places, path):
                errors.append(f"{where}: may not include <{included}>")
        return
    if here == "leaf":
        return
    if there == "leaf":
        errors.append(f"{where}: {here} includes '{included}', which nobody may include")
    elif here == "core" and there != "core":
        errors.append(f"{where}: the core includes '{included}' of {there}")
    elif here in SIBLINGS and there in SIBLINGS and here != there:
        errors.append(f"{where}: {here} includes '{included}' of {there}")
    elif here == there == "core":
        mine, other = level(path), level(included)
        if mine is not None and other is not None and other > mine:
            warnings.append(f"{where}: includes '{included}', which is above it")


def limit(path):
    if path.startswith("tests/"):
        return LIMITS["test"]
    if path.endswith(".h"):
        return LIMITS["core.h"] if re.fullmatch(r"compress/[^/]+\.h", path) else LIMITS[".h"]
    return LIMITS[".cpp"]


def check_source(path, text):
    lines = text.split("\n")
    size, most = len(lines) - 1, limit(path)
    if size > 2 * most:
        errors.append(f"{path}: {size} lines, over twice the {most} that it may have")
    elif size > most:
        warnings.append(f"{path}: {size} lines, over {most}")
    if path.endswith(".h") and "#pragma once" not in text:
        errors.append(f"{path}: no '#pragma once'")
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#include ["<]([^">]+)[">]', line)
        if found:
            check_include(path, number, found[1])
        if len(line) > LINE + 40:
            warnings.append(f"{path}:{number}: {len(line)} columns")
    if path.endswith(".h"):
        check_words(path, lines)


def check_words(path, lines):
    for number, line in enumerate(lines, 1):
        code = FOREIGN.sub("", line.split("//")[0])
        for word, better in BANNED.items():
            if re.search(rf"(?<![a-z]){word}(?![a-z])", code):
                warnings.append(f"{path}:{number}: '{word}'; we say '{better}'")


def check_mirror(path, files):
    if not path.endswith(".cpp") or path.endswith(("main.cpp", ".in")):
        return
    mirror = f"tests/{path.removesuffix('.cpp')}_test.cpp"
    if mirror not in files:
        warnings.append(f"{path}: no {mirror}")


def main():
    files = tracked()
    known = set(files)
    for path in files:
        if Path(path).suffix not in {".h", ".cpp", ".cc", ".py", ".sh", ".md", ".txt", ".in", ".toml", ".yml", ".yaml", ""}:
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf8")
        except (UnicodeDecodeError, IsADirectoryError):
            continue
        if path != "scripts/check_house.py":
            for number, line in enumerate(text.split("\n"), 1):
                if MACHINE_PATH.search(line):
                    errors.append(f"{path}:{number}: path of a machine: {line.strip()[:80]}")
        if Path(path).stem in VAGUE_FILES:
            errors.append(f"{path}: a name that says nothing")
        if path.endswith((".h", ".cpp", ".cc")):
            check_source(path, text)
        if path.startswith(("compress/", "formats/", "passes/")):
            check_mirror(path, known)
    if "--quiet" not in sys.argv:
        for line in warnings:
            print(f"warning: {line}")
    for line in errors:
        print(f"error: {line}")
    print(f"check_house: {len(errors)} errors, {len(warnings)} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
