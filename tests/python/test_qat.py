"""Quantization-aware training: what is trained is what ONNX Runtime computes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import niwaki


def net(seed=0):
    """A small convolutional net whose channels differ widely, for images [N, 1, 8, 8] of three classes."""
    rng = np.random.default_rng(seed)
    factors = np.logspace(-1, 1, 16).astype(np.float32)
    w1 = rng.normal(0, 0.5, (16, 1, 3, 3)).astype(np.float32) * factors[:, None, None, None]
    w2 = rng.normal(0, 0.2, (16, 16, 3, 3)).astype(np.float32) / factors[None, :, None, None]
    w3 = rng.normal(0, 0.3, (16, 3)).astype(np.float32)
    tensors = {"w1": w1, "b1": np.zeros(16, np.float32), "w2": w2, "b2": np.zeros(16, np.float32), "w3": w3, "b3": np.zeros(3, np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
             helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c2"], ["r2"], name="relu2"),
             helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"), helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
             helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], name="gemm")]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])], [numpy_helper.from_array(v, k) for k, v in tensors.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def scores(path, x):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def stripes(count, seed):
    """Horizontal, vertical and diagonal waves in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    i, j = np.mgrid[0:8, 0:8]
    phase = rng.uniform(0, 6.28, (count, 1, 1))
    wave = np.stack([i, j, (i + j) / 1.4])[labels]
    x = np.sin(wave * 1.6 + phase) + rng.normal(0, 0.5, (count, 8, 8))
    return x[:, None].astype(np.float32), labels.astype(np.int64)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qat")
    onnx.save(net(), folder / "fresh.onnx")
    niwaki.finetune(folder / "fresh.onnx", train=stripes(2000, 1), epochs=6, lr=1e-2).save(folder / "m.onnx")
    return folder / "m.onnx"


def accuracy(path):
    x, labels = stripes(1000, 9)
    return (scores(path, x).argmax(1) == labels).mean()


@pytest.mark.parametrize("options", [{"bits": 4, "granularity": "per_tensor", "mode": "static"}, {"bits": 4, "mode": "weight_only", "granularity": "per_tensor"}], ids=["static", "weight_only"])
def test_training_recovers_what_four_bits_lose(model, tmp_path, options):
    x, labels = stripes(2000, 2)
    niwaki.quantize(model, calibration=x[:256], **options).save(tmp_path / "plain.onnx")
    trained = niwaki.finetune(model, train=(x, labels), calibration=x[:256], qat=True, epochs=6, lr=2e-3, **options)
    trained.save(tmp_path / "qat.onnx")
    onnx.checker.check_model(str(tmp_path / "qat.onnx"), full_check=True)
    assert accuracy(tmp_path / "qat.onnx") >= accuracy(tmp_path / "plain.onnx")
    def loss(path):
        x, labels = stripes(1000, 9)
        y = scores(path, x)
        y = y - y.max(1, keepdims=True)
        return -(y[np.arange(len(y)), labels] - np.log(np.exp(y).sum(1))).mean()
    assert loss(tmp_path / "qat.onnx") < loss(tmp_path / "plain.onnx")
    ops = {node.op_type for node in onnx.load(tmp_path / "qat.onnx").graph.node}
    assert not ops & {"FakeQuantize", "TrainScale", "FakeQuantizeBias"}
    if options["mode"] == "static":
        assert "QuantizeLinear" in ops
    names = {tensor.data_type for tensor in onnx.load(tmp_path / "qat.onnx").graph.initializer}
    assert TensorProto.INT4 in names or TensorProto.UINT8 in names


def test_static_training_gives_what_the_runtime_computes(model, tmp_path):
    x, labels = stripes(600, 3)
    trained = niwaki.distill(model, teacher=str(model), train=x, calibration=x[:200], qat=True, mode="static", steps=20)
    trained.save(tmp_path / "qat.onnx")
    with_runtime = scores(tmp_path / "qat.onnx", x[:200])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    by_the_book = onnxruntime.InferenceSession(str(tmp_path / "qat.onnx"), options, providers=["CPUExecutionProvider"]).run(None, {"x": x[:200]})[0]
    assert np.abs(with_runtime - by_the_book).max() < 0.05 * np.abs(by_the_book).max()
    assert (with_runtime.argmax(1) == scores(model, x[:200]).argmax(1)).mean() > 0.95


def test_what_makes_no_sense_is_refused(model):
    with pytest.raises(niwaki.UsageError, match="E2013"):
        niwaki.finetune(model, train=stripes(50, 4), bits=4)
    with pytest.raises(niwaki.UsageError, match="E2014"):
        niwaki.finetune(model, train=stripes(50, 4), qat=True, mode="static")
