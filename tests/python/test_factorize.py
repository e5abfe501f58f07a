"""The verb factorize on a small network: products on ONNX Runtime, kept names, clear refusals."""

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIZES = (48, 64, 64, 10)


def samples(count, seed):
    """Inputs that vary in few directions."""
    rng, mix = np.random.default_rng(seed), np.random.default_rng(1).normal(size=(8, SIZES[0]))
    return (rng.normal(size=(count, 8)) @ mix + 0.05 * rng.normal(size=(count, SIZES[0]))).astype(np.float32)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    rng, nodes, tensors, value = np.random.default_rng(0), [], [], "x"
    for i, (n, o) in enumerate(zip(SIZES, SIZES[1:])):
        shape = (o, n) if i % 2 else (n, o)
        tensors += [numpy_helper.from_array((rng.normal(size=shape) / np.sqrt(n)).astype(np.float32), f"w{i}"),
                    numpy_helper.from_array(rng.normal(size=o).astype(np.float32), f"b{i}")]
        out = "y" if i == len(SIZES) - 2 else f"h{i}"
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [out], name=f"fc{i}", transB=i % 2))
        if out != "y":
            nodes.append(helper.make_node("Relu", [out], [f"r{i}"], name=f"relu{i}"))
            value = f"r{i}"
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", SIZES[0]])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", SIZES[-1]])], tensors)
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def factorized(niwaki, network, data=True, **options):
    return niwaki.factorize(network, calibration={"x": samples(256, 2)} if data else None, latency="off", encode=False, **options)


def run(path, x):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def error(niwaki, network, tmp_path, name, **options):
    factorized(niwaki, network, **options).save(tmp_path / f"{name}.onnx")
    x = samples(100, 3)
    want = run(network, x)
    return float(np.square(run(tmp_path / f"{name}.onnx", x) - want).sum() / np.square(want).sum())


def test_products_compute_less_and_keep_names(niwaki, network, tmp_path):
    small = factorized(niwaki, network, macs_ratio=0.6)
    report = small.report.to_dict()
    assert report["after"]["macs"] <= 0.6 * report["before"]["macs"]
    changed = [node for node in report["nodes"] if node["outcome"] == "changed"]
    assert changed and all({"form", "rank", "energy", "factors", "macs_before", "macs_after"} <= set(node) for node in changed)
    small.save(tmp_path / "small.onnx")
    onnx.checker.check_model(str(tmp_path / "small.onnx"), full_check=True)
    before, after = (onnx.load(path) for path in (network, tmp_path / "small.onnx"))
    outputs = {node.name: node.output[0] for node in after.graph.node}
    assert all(outputs[node.name] == node.output[0] for node in before.graph.node)
    assert (tmp_path / "small.onnx").stat().st_size < network.stat().st_size


def test_data_beat_plain_svd(niwaki, network, tmp_path):
    ours = error(niwaki, network, tmp_path, "ours", rank=8)
    assert ours < 0.5 * error(niwaki, network, tmp_path, "plain", rank=8, data=False)
    assert ours < 0.15


@pytest.mark.parametrize(("options", "code"), [
    ({}, "E2017"),
    ({"macs_ratio": 0.0}, "E2008"),
    ({"energy": 1.5}, "E2008"),
    ({"rank": 0}, "E2008"),
    ({"rank": 8, "energy": 0.9}, "E2013"),
    ({"macs_ratio": 0.001}, "E3210"),
    ({"goal": "quickest", "rank": 8}, "E2005"),
    ({"method": "svd", "rank": 8}, "E2004"),
])
def test_bad_targets_are_refused(niwaki, network, options, code):
    with pytest.raises(niwaki.Error) as error:
        factorized(niwaki, network, **options)
    assert error.value.code == code


def test_nodes_of_microseconds_do_not_get_faster(niwaki, network):
    report = factorized(niwaki, network, rank=8, goal="fastest").report.to_dict()
    nodes = [node for node in report["nodes"] if node["op"] == "Gemm"]
    assert nodes and all(node["outcome"] == "skipped" for node in nodes)
    assert any(node["reason"].startswith("measured: factors take") for node in nodes)
    assert report["after"]["macs"] == report["before"]["macs"]


def test_options_are_listed(niwaki):
    names = [option["name"] for option in niwaki.options("factorize")]
    assert set(names) == {"energy", "rank", "macs_ratio", "sparsity", "goal", "refit", "round_to"}
    assert json.dumps(niwaki.options("factorize"))


@pytest.mark.parametrize("is_folded", [True, False])
def test_a_tied_output_shares_the_parts_of_its_table(niwaki, tmp_path, is_folded):
    """As exporters write it: with the turned table as a second constant, or as a Transpose."""
    import torch

    class Scores(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(500, 32)
            self.table.weight.data = torch.randn(500, 8) @ torch.randn(8, 32) / 8
            self.middle = torch.nn.Linear(32, 32)
            self.output = torch.nn.Linear(32, 500, bias=False)
            self.output.weight = self.table.weight

        def forward(self, tokens):
            return self.output(torch.tanh(self.middle(self.table(tokens))))

    torch.manual_seed(0)
    path, small_path = tmp_path / "tied.onnx", tmp_path / "small.onnx"
    torch.onnx.export(Scores().eval(), torch.zeros(1, 6, dtype=torch.long), str(path), input_names=["tokens"], output_names=["y"],
                      dynamic_axes={"tokens": {0: "n"}}, opset_version=17, dynamo=False, do_constant_folding=is_folded)
    tokens = np.random.default_rng(0).integers(0, 500, (64, 6))
    niwaki.factorize(path, calibration={"tokens": tokens}, rank=8, latency="off").save(small_path)
    tables = [list(one.dims) for one in onnx.load(small_path).graph.initializer if 500 in one.dims]
    assert tables == [[500, 8]]
    assert small_path.stat().st_size < path.stat().st_size / 2
    before, after = (onnxruntime.InferenceSession(str(one), providers=["CPUExecutionProvider"]).run(None, {"tokens": tokens})[0]
                     for one in (path, small_path))
    assert np.square(after - before).sum() < 1e-4 * np.square(before).sum()
