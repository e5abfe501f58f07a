#!/usr/bin/env python3
"""Niwaki's default INT8 beside ONNX Runtime's quantize_static and NNCF's quantize, on the same arrays in the same run.

usage: .venv/bin/python benchmarks/end_to_end.py [TASK...] [--acceptance DIR] [--niwaki PROGRAM] [--out DIR] [--rounds N]

Tasks are those of $NIWAKI_SHARED_DATA/tasks.py. DIR (default ../shared/acceptance) holds common.py, scoring.py and peers.py,
which feed the tools, score the models on ONNX Runtime and compare latency in fresh processes. Each tool runs in its
environment below $NIWAKI_ACCEPTANCE_HOME where there is one, else in this interpreter; a tool that is in neither is skipped,
and says so. Latency is the time of the tool's model over that of the float model, with its 95 % interval.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib import util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = {"onnxruntime": ("ort", "static_int8", "venv-lean", "onnxruntime"), "nncf": ("nncf", "ptq", "venv", "nncf")}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--acceptance", type=Path, default=ROOT.parent / "shared" / "acceptance")
    parser.add_argument("--niwaki", type=Path, default=ROOT / ".venv" / "bin" / "niwaki")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "end_to_end")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    options.acceptance, options.niwaki, options.out = (p.absolute() for p in (options.acceptance, options.niwaki, options.out))
    return options


def interpreter(common, environment, package):
    """The interpreter that has a peer; None where there is none."""
    own = common.HOME / environment / "bin" / "python"
    if own.exists():
        return own
    return sys.executable if util.find_spec(package) else None


def command_of(who, options, common, folder, task, model):
    """The command that makes `model`, or the reason why there is none."""
    if who == "niwaki":
        words = ["quantize", folder / "model.onnx", "-o", model, "--calib", folder / "calib.npz", "-f"]
        return [options.niwaki, *words, *common.CONSTANTS.get(task, [])]
    tool, method, environment, package = PEERS[who]
    python = interpreter(common, environment, package)
    if python is None:
        return f"not installed: no {environment} in {common.HOME.name}, no package {package} here"
    return [python, options.acceptance / "peers.py", tool, method, "--task", folder, "--out", model]


def measured(who, options, common, folder, task, reference):
    """One row: quality, bytes, latency, seconds, memory; or the reason why there is none."""
    place = options.out / task / who
    place.mkdir(parents=True, exist_ok=True)
    model = place / "model.onnx"
    command = command_of(who, options, common, folder, task, model)
    if isinstance(command, str):
        return {"who": who, "skipped": command}
    run = common.execute(command, cwd=place)
    if run.rc not in (0, 1) or not model.exists():
        told = (run.stderr.strip().splitlines() or ["no message"])
        wanted = [line for line in told if "error[" in line] or told[-1:]
        return {"who": who, "skipped": f"exit {run.rc}: {wanted[0][:160]}"}
    result = common.score(folder, model)
    ratio = common.latency_ratio(model, folder / "model.onnx", common.first_samples(folder), rounds=options.rounds)
    low, high = common.drop_interval(reference, result)
    return {"who": who, "value": result["value"], "drop": [common.drop(reference, result), low, high],
            "bytes": model.stat().st_size, "latency": [ratio.value, ratio.low, ratio.high], "seconds": run.seconds,
            "peak_bytes": run.peak_rss_bytes}


def printed(task, metric, row):
    if "skipped" in row:
        return f"{task:<13}{row['who']:<13}skipped: {row['skipped']}"
    drop = "" if "drop" not in row else f"{row['drop'][0]:+.2f} [{row['drop'][1]:+.2f}, {row['drop'][2]:+.2f}]"
    ratio = "" if "latency" not in row else "{:.2f} [{:.2f}, {:.2f}]".format(*row["latency"])
    cost = "" if "seconds" not in row else f"{row['seconds']:>8.1f}{row['peak_bytes'] / 1e6:>9.0f}"
    return f"{task:<13}{row['who']:<13}{row['value']:>9.3f} {metric:<15}{drop:<24}{row['bytes'] / 1000:>9.1f}  {ratio:<19}{cost}"


def main():
    options = arguments()
    data = os.environ.setdefault("NIWAKI_SHARED_DATA", str(ROOT.parent / "shared" / "data"))
    if not (options.acceptance / "common.py").exists() or not Path(data, "tasks.py").exists():
        sys.exit(f"needed {options.acceptance}/common.py and tasks.py in NIWAKI_SHARED_DATA ({data}); see --help")
    sys.path.insert(0, str(options.acceptance))
    import common

    options.out.mkdir(parents=True, exist_ok=True)
    common.open_out(options.out)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True, capture_output=True, check=False)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ONNX Runtime on {common.THREADS} threads, commit "
          f"{commit.stdout.strip() or 'unknown'}")
    print(f"{'task':<13}{'tool':<13}{'quality':>9} {'metric':<15}{'drop [95 %]':<24}{'kB':>9}  {'time / float':<19}{'seconds':>8}{'MB peak':>9}")
    results = {}
    for task in options.tasks or common.task_names():
        try:
            folder = common.task(task)
            reference = common.score(folder, folder / "model.onnx")
        except (RuntimeError, common.NiwakiFailed) as failure:
            print(f"{task:<13}skipped: {str(failure)[:140]}")
            continue
        rows = [{"who": "float", "value": reference["value"], "bytes": (folder / "model.onnx").stat().st_size}]
        print(printed(task, reference["metric"], rows[0]), flush=True)
        for who in ("niwaki", *PEERS):
            try:
                rows.append(measured(who, options, common, folder, task, reference))
            except (RuntimeError, common.NiwakiFailed) as failure:
                rows.append({"who": who, "skipped": str(failure)[:160]})
            print(printed(task, reference["metric"], rows[-1]), flush=True)
        results[task] = rows
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
