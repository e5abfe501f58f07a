"""ONNX Runtime runs what quantize writes: the same numbers at both optimization levels, and the kernels that were meant."""

import collections
import os
import pathlib
import subprocess

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from conftest import BUILD  # noqa: E402

PROGRAM = pathlib.Path(os.environ.get("NIWAKI_BINARY", BUILD / "niwaki"))
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM.name} is not built")
TOLERANCE = 0.02  # of the largest output: int8 activations of accuracy_level 4, a code more or less


def write_model(path, inputs, opset=17):
    """A table, a product without a bias, a Gemm with one; `inputs` may leave a short last block."""
    random = np.random.default_rng(0)
    weights = {"table": (90, inputs), "w1": (inputs, 300), "w2": (290, 300), "bias": (290,)}
    constants = [numpy_helper.from_array(random.standard_normal(size, dtype=np.float32), name) for name, size in weights.items()]
    nodes = [helper.make_node("Gather", ["table", "i"], ["rows"], name="embed"),
             helper.make_node("MatMul", ["rows", "w1"], ["hidden"], name="fc1"),
             helper.make_node("Relu", ["hidden"], ["active"], name="relu"),
             helper.make_node("Gemm", ["active", "w2", "bias"], ["y"], name="fc2", transB=1)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("i", TensorProto.INT64, ["n"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 290])], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)


def quantize(folder, *flags, inputs=256, opset=17):
    write_model(folder / "in.onnx", inputs, opset)
    command = [PROGRAM, "quantize", folder / "in.onnx", "-o", folder / "out.onnx", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    onnx.checker.check_model(str(folder / "out.onnx"), full_check=True)
    return folder / "out.onnx"


def outputs(model, default=True, optimized=None):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not default:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized:
        options.optimized_model_filepath = str(optimized)
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"i": np.arange(16, dtype=np.int64) * 5})[0]


def operators(model):
    return collections.Counter(node.op_type for node in onnx.load(model).graph.node)


def difference(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "generic"])
@pytest.mark.parametrize("inputs", [256, 200])
@pytest.mark.parametrize("flags", [("--bits", 4), ("--bits", 4, "--block-size", 16), ("--bits", 4, "--block-size", 128, "--symmetric"),
                                   ("--bits", 8), ("--bits", 8, "--block-size", 32)])
def test_weight_only_runs_alike_at_both_levels(tmp_path, target, inputs, flags):
    model = quantize(tmp_path, "--mode", "weight_only", "--target", target, *flags, inputs=inputs)
    plain = outputs(model, default=False)
    assert difference(outputs(model), plain) < TOLERANCE
    assert difference(plain, outputs(tmp_path / "in.onnx")) < (0.25 if 4 in flags else 0.03)
    assert ("MatMulNBits" in operators(model)) == (target == "onnxruntime-cpu")


def test_blocks_that_the_runtime_gets_wrong_are_refused(tmp_path):
    write_model(tmp_path / "in.onnx", 256)
    for size in (8, 24, 512):
        command = [PROGRAM, "quantize", tmp_path / "in.onnx", "-o", tmp_path / "out.onnx", "--mode", "weight_only", "--bits", "4", "--block-size", str(size)]
        assert subprocess.run(command, capture_output=True).returncode == 2
        assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("opset", [9, 17])
def test_dynamic_products_fuse(tmp_path, opset):
    model = quantize(tmp_path, "--mode", "dynamic", opset=opset)
    plain = outputs(model, default=False)
    assert difference(outputs(model, optimized=tmp_path / "optimized.onnx"), plain) < TOLERANCE
    assert difference(plain, outputs(tmp_path / "in.onnx")) < 0.05
    assert operators(tmp_path / "optimized.onnx")["DynamicQuantizeMatMul"] == 2
