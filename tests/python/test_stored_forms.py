"""ONNX Runtime folds every stored form when it loads a model: the same bits, and nothing left to run."""

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
SIZE = (400, 300)


def zeroed(share, seed=1):
    random = np.random.default_rng(seed)
    weight = random.standard_normal(SIZE, dtype=np.float32)
    weight[random.random(SIZE) >= share] = 0
    return weight


def levels(count):
    return np.random.default_rng(2).standard_normal(count).astype(np.float32)[np.random.default_rng(3).integers(0, count, SIZE)]


def scaled(shape):
    random = np.random.default_rng(4)
    return random.integers(-127, 128, SIZE).astype(np.float32) * random.random(shape, dtype=np.float32)


def write_model(path, weight, opset=13):
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, weight.shape[0]])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, weight.shape[1]])],
                              [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), path)
    return path


def niwaki(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(model):
    """The outputs at the default level, and the operators that are left."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(model.with_suffix(".optimized.onnx"))
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((2, SIZE[0]), dtype=np.float32)
    left = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    return session.run(None, {"x": x})[0], left


@pytest.mark.parametrize("weight, most", [
    (zeroed(0.002), 0.01), (zeroed(0.05), 0.065), (zeroed(0.1), 0.125), (zeroed(0.3), 0.34), (zeroed(0.6), 0.64),
    (levels(2), 0.06), (levels(3), 0.07), (levels(6), 0.1), (levels(16), 0.14), (levels(200), 0.27),
    (scaled((1, 1)), 0.26), (scaled((400, 1)), 0.27), (scaled((1, 300)), 0.27),
    (zeroed(0.1) != 0, 0.05), (zeroed(0.2).astype(np.float16).astype(np.float32), 0.14)], ids=lambda one: str(getattr(one, "dtype", one)))
def test_forms_fold_to_the_same_bits(tmp_path, weight, most):
    plain = write_model(tmp_path / "plain.onnx", weight.astype(np.float32))
    niwaki("convert", plain, "-o", tmp_path / "stored.onnx")
    onnx.checker.check_model(str(tmp_path / "stored.onnx"), full_check=True)
    assert (tmp_path / "stored.onnx").stat().st_size <= most * plain.stat().st_size
    want, want_left = run(plain)
    got, left = run(tmp_path / "stored.onnx")
    assert left == want_left
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 21])
def test_sparse_weights_become_sparse_integers(tmp_path, opset):
    plain = write_model(tmp_path / "plain.onnx", zeroed(0.1), opset)
    niwaki("convert", plain, "-o", tmp_path / "sparse.onnx")
    niwaki("quantize", tmp_path / "sparse.onnx", "--mode", "storage", "--bits", "8", "-o", tmp_path / "coded.onnx")
    sparse, coded = ((tmp_path / name).stat().st_size for name in ("sparse.onnx", "coded.onnx"))
    assert sparse <= 0.15 * plain.stat().st_size and coded <= 0.06 * plain.stat().st_size
    want, want_left = run(plain)
    assert run(tmp_path / "sparse.onnx")[0].tobytes() == want.tobytes()
    got, left = run(tmp_path / "coded.onnx")
    assert left == want_left
    assert np.abs(got - want).max() <= 0.02 * np.abs(want).max()


def test_the_same_file_every_time(tmp_path):
    plain = write_model(tmp_path / "plain.onnx", zeroed(0.1), 9)
    for name in ("a", "b"):
        niwaki("convert", plain, "-o", tmp_path / f"{name}.onnx", "--threads", 1 if name == "a" else 2)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
