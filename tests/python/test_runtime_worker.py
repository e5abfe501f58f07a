"""The protocol of niwaki._runtime_worker, spoken to directly."""

import json
import pathlib
import subprocess
import sys

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SCRIPT = pathlib.Path(__file__).parents[2] / "bindings" / "niwaki" / "_runtime_worker.py"


class Worker:
    def __init__(self, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(SCRIPT)], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code

    def ask(self, op, **request):
        return self.ask_line(json.dumps({"op": op, **request}))

    def ask_line(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def load(self, model, **options):
        onnx.save(model, self.folder / "model.onnx")
        return self.ask("load", id=1, model=str(self.folder / "model.onnx"), **options)

    def run(self, **arrays):
        described, data = [], b""
        for name, array in arrays.items():
            described.append({"name": name, "dtype": array.dtype.name,
                              "shape": list(array.shape), "offset": len(data)})
            data += array.tobytes() + bytes(-array.nbytes % 64)
        (self.folder / "inputs").write_bytes(data)
        (self.folder / "outputs").touch()
        return self.ask("run", id=1, tensors=described, inputs=str(self.folder / "inputs"),
                        outputs=str(self.folder / "outputs"))

    def output(self, tensor):
        data = (self.folder / "outputs").read_bytes()
        count = int(np.prod(tensor["shape"]))
        array = np.frombuffer(data, tensor["dtype"], count, tensor["offset"])
        return array.reshape(tensor["shape"])


@pytest.fixture
def worker(tmp_path):
    worker = Worker(tmp_path)
    yield worker
    assert worker.close() == 0


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def make_model(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def linear_model():
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"], name="fc"),
             helper.make_node("Relu", ["t"], ["y"], name="relu")]
    return make_model(nodes, [value("x", ["n", 4])], [value("y", ["n", 3])], [weight])


def test_hello_names_versions(worker):
    answer = worker.ask("hello")
    assert answer["runtime"] == onnxruntime.__version__
    assert answer["python"] == sys.version.split()[0]
    assert answer["has_checker"] is True


def test_runs_a_model(worker):
    loaded = worker.load(linear_model())
    assert loaded["inputs"] == [{"name": "x", "type": "tensor(float)", "shape": [-1, 4]}]
    assert loaded["seconds"] > 0
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    (tensor,) = worker.run(x=x)["tensors"]
    expected = np.maximum(x @ np.arange(12, dtype=np.float32).reshape(4, 3), 0)
    np.testing.assert_allclose(worker.output(tensor), expected, rtol=1e-5, atol=1e-5)


def test_optimization_can_be_disabled(worker, tmp_path):
    nodes = [helper.make_node("Identity", ["x"], ["t"]), helper.make_node("Neg", ["t"], ["y"])]
    model = make_model(nodes, [value("x", [2])], [value("y", [2])])
    for level, count in (("default", 1), ("disabled", 2)):
        path = tmp_path / f"{level}.onnx"
        assert "error" not in worker.load(model, level=level, optimized=str(path))
        assert len(onnx.load(path).graph.node) == count


def test_census_counts_bodies_too(worker, tmp_path):
    branches = {
        name: helper.make_graph([helper.make_node(op, ["x"], ["b"], name=op.lower())], name, [],
                                [value("b", [2])])
        for name, op in (("then_branch", "Exp"), ("else_branch", "Neg"))
    }
    node = helper.make_node("If", ["c"], ["y"], **branches)
    inputs = [value("x", [2]), value("c", [1], TensorProto.BOOL)]
    onnx.save(make_model([node], inputs, [value("y", [2])]), tmp_path / "m.onnx")
    census = worker.ask("census", model=str(tmp_path / "m.onnx"))
    assert census["ops"] == {"Exp": 1, "If": 1, "Neg": 1}
    (inner,) = [node for node in census["nodes"] if node["name"] == "exp"]
    assert (inner["inputs"], inner["outputs"]) == (["x"], ["b"])
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_census_names_other_domains(worker, tmp_path):
    node = helper.make_node("FusedMatMul", ["x", "x"], ["y"], domain="com.microsoft", alpha=2.0)
    model = make_model([node], [value("x", [2, 2])], [value("y", [2, 2])])
    onnx.save(model, tmp_path / "m.onnx")
    census = worker.ask("census", model=str(tmp_path / "m.onnx"))
    assert census["ops"] == {"com.microsoft.FusedMatMul": 1}


def test_census_agrees_with_the_onnx_package(worker, tmp_path):
    onnx.save(linear_model(), tmp_path / "m.onnx")
    census = worker.ask("census", model=str(tmp_path / "m.onnx"))
    worker.load(linear_model(), optimized=str(tmp_path / "optimized.onnx"))
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    assert [node["op"] for node in census["nodes"]] == [node.op_type for node in nodes]


def test_refuses_outputs_that_are_no_tensors(worker):
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    node = helper.make_node("SequenceConstruct", ["x"], ["s"])
    loaded = worker.load(make_model([node], [value("x", [2])], [sequence]))
    assert loaded["outputs"][0]["type"].startswith("seq")
    answer = worker.run(x=np.zeros(2, np.float32))
    assert answer["error"] == "TypeError"
    assert "output 's'" in answer["message"]


def test_answers_nonsense_with_errors(worker):
    assert worker.ask("explode") == {"error": "ValueError", "message": "unknown op 'explode'"}
    assert worker.ask_line("{not json")["error"] == "JSONDecodeError"
    assert worker.ask("run", id=99)["error"] == "KeyError"
    assert worker.ask("load", id=1, model="/no/such/file")["error"] == "NoSuchFile"
    assert "error" not in worker.ask("hello")


def test_measures(worker):
    worker.load(linear_model(), threads=1)
    worker.run(x=np.zeros((1, 4), np.float32))
    tensors = [{"name": "x", "dtype": "float32", "shape": [1, 4], "offset": 0}]
    assert worker.ask("bind", id=1, inputs=str(worker.folder / "inputs"), tensors=tensors) == {}
    warm = worker.ask("warm_up", id=1, seconds=0.05)
    assert warm["runs"] >= 2 and warm["ns"] > 0
    times = worker.ask("measure", id=1, runs=9)["ns"]
    assert len(times) == 9 and min(times) > 0


def test_memory_sees_what_a_run_needs(worker):
    node = helper.make_node("ConstantOfShape", ["n"], ["y"])
    worker.load(make_model([node], [value("n", [1], TensorProto.INT64)], [value("y", ["n"])]))
    base = worker.ask("memory", reset=True)
    assert "error" not in worker.run(n=np.array([16 << 20]))
    assert worker.ask("memory")["peak_bytes"] >= base["rss_bytes"] + (64 << 20)


def test_checks(worker, tmp_path):
    onnx.save(linear_model(), tmp_path / "good.onnx")
    assert worker.ask("check", model=str(tmp_path / "good.onnx"))["ok"] is True
    bad = linear_model()
    bad.graph.node[1].op_type = "NoSuchOp"
    onnx.save(bad, tmp_path / "bad.onnx")
    answer = worker.ask("check", model=str(tmp_path / "bad.onnx"))
    assert answer["ok"] is False and "NoSuchOp" in answer["message"]


def test_imports_nothing_from_the_current_folder(tmp_path):
    for name in ("numpy", "onnxruntime", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)\n")
    worker = Worker(tmp_path)
    assert "error" not in worker.ask("hello")
    assert worker.close() == 0


def test_does_not_import_torch():
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(sys.modules['torch'])"
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "None"
