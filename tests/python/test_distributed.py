"""Training over several processes against training in one."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper


def mlp(sizes, seed):
    rng, nodes, tensors, value = np.random.default_rng(seed), [], [], "x"
    for k, (n, o) in enumerate(zip(sizes, sizes[1:])):
        out = "y" if k == len(sizes) - 2 else f"h{k}"
        tensors += [numpy_helper.from_array((rng.uniform(-1, 1, (o, n)) / np.sqrt(n)).astype(np.float32), f"w{k}"),
                    numpy_helper.from_array(np.zeros(o, np.float32), f"b{k}")]
        nodes.append(helper.make_node("Gemm", [value, f"w{k}", f"b{k}"], [out], name=f"gemm{k}", transB=1))
        value = out
        if out != "y":
            nodes.append(helper.make_node("Relu", [out], [f"r{k}"], name=f"relu{k}"))
            value = f"r{k}"
    graph = helper.make_graph(nodes, "mlp", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", sizes[0]])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", sizes[-1]])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1010, 8)).astype(np.float32)            # batches of 50: the last one is short
    onnx.save(mlp([8, 32, 3], 1), tmp_path / "student.onnx")
    onnx.save(mlp([8, 64, 3], 2), tmp_path / "teacher.onnx")
    labels = (x[:, 0] * x[:, 1] > 0) + 2 * (x[:, 2] > 1)
    np.savez(tmp_path / "train.npz", x=x, labels=np.minimum(labels, 2).astype(np.int64))
    return tmp_path


def environment():
    import niwaki

    return {**os.environ, "PYTHONPATH": str(pathlib.Path(niwaki.__file__).parents[1])}


def command(nproc, *words):
    return [sys.executable, "-m", "niwaki.distributed", "--nproc", str(nproc), *map(str, words)]


def weights(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


DISTILL = ("--train", "train.npz", "--lr", "1e-2", "--batch", 50, "--encode", "off", "--latency", "off", "-q")


@pytest.mark.parametrize("verb", ["distill", "finetune"])
def test_two_processes_give_what_one_gives(niwaki, folder, verb):
    teacher = ("--teacher", "teacher.onnx") if verb == "distill" else ()
    for nproc in (1, 2):
        done = subprocess.run(command(nproc, verb, "student.onnx", *teacher, *DISTILL, "--epochs", 3, "-o", f"{nproc}.onnx"), cwd=folder, env=environment(),
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, two, start = (weights(folder / name) for name in ("1.onnx", "2.onnx", "student.onnx"))
    moved = max(np.abs(one[name] - start[name]).max() for name in one)
    apart = max(np.abs(one[name] - two[name]).max() for name in one)
    assert moved > 0.05
    assert apart < 1e-3 * moved
    reports = [json.loads((folder / f"{n}.report" / "report.json").read_text()) for n in (1, 2)]
    losses = [[epoch["train_loss"] for p in report["passes"] for epoch in p.get("details", {}).get("epochs", [])] for report in reports]
    assert len(losses[0]) == 3 and np.allclose(*losses, rtol=1e-4)


def test_integers_train_in_a_group_too(niwaki, folder):
    x = np.load(folder / "train.npz")["x"]
    scores = {}
    for nproc in (1, 2):
        done = subprocess.run(command(nproc, "finetune", "student.onnx", "--qat", "--bits", 8, "--calib", "train.npz", *DISTILL, "--epochs", 3, "-o", f"q{nproc}.onnx"), cwd=folder,
                              env=environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        scores[nproc] = onnxruntime.InferenceSession(folder / f"q{nproc}.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    start = onnxruntime.InferenceSession(folder / "student.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    moved, apart = np.abs(scores[1] - start).mean(), np.abs(scores[1] - scores[2]).mean()
    assert apart < 0.02 * moved                                  # a few numbers fall on the other side of a step
    reports = [json.loads((folder / f"q{n}.report" / "report.json").read_text()) for n in (1, 2)]
    losses = [[epoch["train_loss"] for p in report["passes"] for epoch in p.get("details", {}).get("epochs", [])] for report in reports]
    assert len(losses[0]) == 3 and np.allclose(*losses, rtol=1e-3)


def test_a_stopped_group_goes_on_to_the_same_bytes(niwaki, folder):
    words = ("distill", "student.onnx", "--teacher", "teacher.onnx", *DISTILL, "--epochs", 60)
    whole = subprocess.run(command(2, *words, "-o", "whole.onnx"), cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert whole.returncode == 0, whole.stderr
    group = subprocess.Popen(command(2, *words, "-o", "stopped.onnx"), cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if list((folder / ".niwaki").glob("run-*/request.json")):
            break
        time.sleep(0.05)
    time.sleep(0.7)
    group.send_signal(signal.SIGTERM)
    said = group.communicate(timeout=60)[1]
    assert group.returncode in (75, 143), said
    assert not (folder / "stopped.onnx").exists()
    again = subprocess.run(command(2, *words, "-o", "stopped.onnx"), cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    if group.returncode == 75:
        assert "N3031" in (folder / "stopped.report" / "report.json").read_text()
    assert (folder / "stopped.onnx").read_bytes() == (folder / "whole.onnx").read_bytes()


def test_what_cannot_be_shared_is_refused_once(niwaki, folder):
    done = subprocess.run(command(2, "quantize", "student.onnx", "-o", "out.onnx"), cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("E2013") == 1, done.stderr
    missing = subprocess.run(command(2, "distill", "missing.onnx", "--teacher", "teacher.onnx", *DISTILL, "-o", "out.onnx"), cwd=folder, env=environment(),
                             capture_output=True, text=True, timeout=120)
    assert missing.returncode == 4 and missing.stderr.count("E4004") == 1, missing.stderr
    assert not (folder / "out.onnx").exists()
