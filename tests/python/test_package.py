"""The Python package: load, run, quantize, save, reports and each kind of error."""

import hashlib
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")


@pytest.fixture
def model(niwaki, examples):
    return niwaki.load(examples / "digits_cnn.onnx")


@pytest.fixture(scope="session")
def digits(niwaki):
    import conftest

    with np.load(conftest.ROOT / "examples" / "models" / "digits_test.npz") as archive:
        return archive["input"], archive["labels"]


@pytest.fixture(scope="session")
def small(niwaki, digits):
    """Quantized once for all tests that look at the result."""
    import conftest

    models = conftest.ROOT / "examples" / "models"
    return niwaki.quantize(models / "digits_cnn.onnx", calibration=models / "digits_calib.npz",
                           evaluation=models / "digits_test.npz", max_drop="3pt", latency="off")


def reference(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def test_import_is_quick_and_loads_nothing(niwaki):
    folder = str(next(iter(niwaki.__path__)))
    code = (
        f"import sys; sys.path.insert(0, {folder + '/..'!r}); import niwaki; "
        "print([name for name in ('torch', 'numpy', 'niwaki._core') if name in sys.modules])"
    )
    best = min(_seconds([sys.executable, "-c", code]) for _ in range(3))
    assert best < 2.0  # the machine may be busy; alone it is below 0.15
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def _seconds(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def test_describes_a_model(model):
    assert [(port.name, port.dtype, port.shape) for port in model.inputs] == [("input", "float32", ("N", 1, 8, 8))]
    assert [str(port) for port in model.outputs] == ["scores[N,10]"]
    assert model.opset == 17
    assert model.inspect()["ops"]["Conv"] == 6
    assert "digits_cnn.onnx" in repr(model) and len(repr(model).splitlines()) <= 12
    assert "<table>" in model._repr_html_() and "script" not in model._repr_html_()


def test_weights_are_the_files(model, examples):
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(examples / "digits_cnn.onnx").graph.initializer}
    assert set(model.weights) == set(stored)
    for name, array in stored.items():
        assert np.array_equal(model.weights[name].numpy(), array)
    with pytest.raises(KeyError):
        model.weights["no such weight"]


@pytest.mark.parametrize("form", ["numpy", "torch", "lists"])
def test_runs_like_onnx_runtime(model, examples, digits, form):
    x = digits[0][:16]
    given = {"numpy": x, "torch": torch.from_numpy(x), "lists": x.tolist()}[form]
    scores = model.run({"input": given})["scores"]
    assert isinstance(scores, torch.Tensor)
    np.testing.assert_allclose(scores.numpy(), reference(examples / "digits_cnn.onnx", x), rtol=1e-4, atol=1e-4)


def test_quantizes(small, digits, tmp_path, examples):
    assert small.report.verdict == "pass" and small.report.passed
    small.report.require_pass()
    saved = small.save(tmp_path / "small.onnx")
    assert saved.bytes < 0.5 * (examples / "digits_cnn.onnx").stat().st_size
    assert saved.sha256 == hashlib.sha256(saved.path.read_bytes()).hexdigest()
    onnx.checker.check_model(str(saved.path), full_check=True)
    x, labels = digits
    assert (reference(saved.path, x).argmax(1) == labels).mean() > 0.96
    assert small.report.quality[0]["metric"] == "top1"
    assert len(repr(small.report).splitlines()) <= 12
    assert "<table>" in small.report._repr_html_()


def test_arrays_in_memory_are_as_good_as_files(niwaki, small, examples, digits):
    with np.load(examples / "digits_calib.npz") as archive:
        x = archive["input"]
    batches = ({"input": x[i:i + 32]} for i in range(0, len(x), 32))
    other = niwaki.quantize(niwaki.load(examples / "digits_cnn.onnx"), calibration=batches, evaluation=digits,
                            max_drop="3pt", latency="off")
    assert other.to_bytes() == small.to_bytes()


def test_a_missed_limit_is_no_error(niwaki, examples):
    result = niwaki.quantize(examples / "digits_cnn.onnx", max_size="1kB")
    assert result.report.verdict == "fail" and not result.report.passed
    with pytest.raises(niwaki.GateMissed) as missed:
        result.report.require_pass()
    assert missed.value.report is result.report
    assert result.file_bytes < niwaki.load(examples / "digits_cnn.onnx").file_bytes


def test_load_bytes_and_convert(niwaki, examples):
    model = niwaki.load_bytes((examples / "digits_cnn.onnx").read_bytes())
    converted = niwaki.convert(model, opset=21)
    assert converted.opset == 21
    assert niwaki.compare(model, converted, data=examples / "digits_calib.npz").outputs[0].max_abs_diff < 1e-3


def test_compares(niwaki, model, small, digits):
    difference = niwaki.compare(model, small, data=digits[0]).outputs[0]
    assert difference.output == "scores" and 0 < difference.max_abs_diff < 20 and difference.sqnr_db > 10


def test_writes_a_report_where_asked(niwaki, examples, tmp_path):
    niwaki.quantize(examples / "digits_cnn.onnx", report_dir=tmp_path / "report")
    assert {"report.json", "report.html"} <= {path.name for path in (tmp_path / "report").iterdir()}


def test_passes_are_functions(niwaki, model):
    names = [entry["name"] for entry in niwaki.passes()]
    assert names == sorted(names) and "quantize_static" in names
    assert {"bits", "mode", "granularity"} <= {option["name"] for option in niwaki.options("quantize")}
    assert niwaki.fold_constants(model).outputs == model.outputs
    with pytest.raises(AttributeError):
        niwaki.no_such_pass


def test_existing_files_are_kept(niwaki, model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    with pytest.raises(niwaki.UsageError) as refused:
        model.save(path)
    assert refused.value.code == "E2009" and path.read_text() == "mine"
    model.save(path, overwrite=True)
    assert onnx.load(path).graph.name == onnx.load(model.path).graph.name


def test_usage_errors(niwaki, model, examples):
    with pytest.raises(niwaki.UsageError) as unknown:
        niwaki.quantize(model, bitz=8)
    assert unknown.value.code == "E2004" and "bits" in unknown.value.hint and isinstance(unknown.value, ValueError)
    with pytest.raises(niwaki.UsageError, match="mode static needs calibration"):
        niwaki.quantize(model, mode="static")
    with pytest.raises(niwaki.UsageError) as nothing:
        niwaki.quantize(model, keep="/layer9/*")
    assert nothing.value.code == "E2007"
    with pytest.raises(niwaki.UsageError, match="no array for input 'input'"):
        model.run({})
    with pytest.raises(niwaki.UsageError, match="float64; the input wants float32"):
        model.run({"input": np.zeros((1, 1, 8, 8))})


def test_model_errors(niwaki, tmp_path, examples):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((examples / "digits_cnn.onnx").read_bytes()[:1000])
    with pytest.raises(niwaki.ModelError) as error:
        niwaki.load(cut)
    assert error.value.code.startswith("E1") and "cut.onnx" in error.value.where and isinstance(error.value, ValueError)
    with pytest.raises(niwaki.EnvironmentError) as missing:
        niwaki.load(tmp_path / "none.onnx")
    assert missing.value.code == "E4004" and isinstance(missing.value, OSError)


def test_unsupported_operators(niwaki, tmp_path):
    helper = onnx.helper
    value = lambda name: helper.make_tensor_value_info(name, 1, [2])  # noqa: E731
    node = helper.make_node("Mystery", ["x"], ["y"], domain="com.example")
    graph = helper.make_graph([node], "g", [value("x")], [value("y")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(niwaki.UnsupportedError) as error:
        niwaki.load(tmp_path / "m.onnx").run({"x": np.zeros(2, np.float32)})
    assert error.value.code == "E3101" and isinstance(error.value, NotImplementedError)


def test_errors_survive_pickling(niwaki):
    for kind in (niwaki.UsageError, niwaki.ModelError, niwaki.UnsupportedError, niwaki.EnvironmentError, niwaki.InternalError):
        error = kind("cause", "E1234", "place", "found", "hint")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and again.to_dict() == error.to_dict() and str(again) == str(error)
        assert str(error) == "error[E1234]: cause\n  --> place\n   |  found\nhelp: hint"


def test_threads_run_beside_long_calls(niwaki, examples):
    import threading

    ticks, done = [], threading.Event()

    def count():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.005)

    thread = threading.Thread(target=count)
    thread.start()
    niwaki.quantize(examples / "digits_cnn.onnx", calibration=examples / "digits_calib.npz")
    done.set()
    thread.join()
    assert max(b - a for a, b in zip(ticks, ticks[1:])) < 2.0
