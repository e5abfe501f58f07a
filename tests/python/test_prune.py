"""The verb prune on the bundled model: smaller on ONNX Runtime, exact zeros, clear refusals."""

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

CHANNELS = {"macs_ratio": 0.6, "round_to": 4}


@pytest.fixture(scope="module")
def models():
    import conftest

    return conftest.ROOT / "examples" / "models"


def pruned(niwaki, models, **options):
    return niwaki.prune(models / "digits_cnn.onnx", calibration=models / "digits_calib.npz", evaluation=models / "digits_test.npz",
                        latency="off", encode=False, **options)


def weights(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_channels_go_and_the_model_still_answers(niwaki, models, tmp_path):
    small = pruned(niwaki, models, **CHANNELS)
    report = small.report.to_dict()
    assert report["after"]["macs"] <= 0.6 * report["before"]["macs"]
    assert report["quality"][0]["drop"] < 5
    small.save(tmp_path / "small.onnx")
    onnx.checker.check_model(str(tmp_path / "small.onnx"), full_check=True)
    before, after = weights(models / "digits_cnn.onnx"), weights(tmp_path / "small.onnx")
    assert sum(a.size for a in after.values()) < 0.9 * sum(a.size for a in before.values())
    x = np.load(models / "digits_test.npz")["input"][:8]
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"), providers=["CPUExecutionProvider"])
    assert np.isfinite(session.run(None, {session.get_inputs()[0].name: x})[0]).all()


def test_repair_beats_removal_alone(niwaki, models):
    drops = [pruned(niwaki, models, refit=refit, macs_ratio=0.4, round_to=4).report.to_dict()["quality"][0]["drop"] for refit in ("on", "off")]
    assert drops[0] < drops[1]


def test_zeros_are_exact_and_shrink_the_file(niwaki, models, tmp_path):
    small = niwaki.prune(models / "digits_cnn.onnx", calibration=models / "digits_calib.npz", pattern="unstructured", sparsity=0.9)
    small.save(tmp_path / "sparse.onnx")
    assert (tmp_path / "sparse.onnx").stat().st_size < 0.4 * (models / "digits_cnn.onnx").stat().st_size
    pruned(niwaki, models, pattern="2:4").save(tmp_path / "two.onnx")
    found = [w for w in weights(tmp_path / "two.onnx").values() if w.ndim == 4 and w.shape[1] % 4 == 0]
    assert found
    for weight in found:
        groups = weight.transpose(0, 2, 3, 1).reshape(-1, 4)
        assert ((groups != 0).sum(1) <= 2).all()


@pytest.mark.parametrize(("options", "code"), [
    ({}, "E2017"),
    ({"macs_ratio": 0.0}, "E2008"),
    ({"macs_ratio": 2.0}, "E2008"),
    ({"macs_ratio": 0.5, "sparsity": 0.5}, "E2013"),
    ({"pattern": "4:2"}, "E2013"),
    ({"pattern": "rows", "sparsity": 0.5}, "E2013"),
    ({"pattern": "2:4", "sparsity": 0.7}, "E2013"),
    ({"pattern": "unstructured"}, "E2017"),
    ({"pattern": "unstructured", "sparsity": 0.5, "importance": "taylor"}, "E2013"),
    ({"macs_ratio": 0.5, "importance": "wanda"}, "E2013"),
    ({"macs_ratio": 0.001, "round_to": 8}, "E3210"),
    ({"pattern": "blocks"}, "E2017"),
    ({"pattern": "blocks", "macs_ratio": 0.5, "importance": "obs"}, "E2013"),
    ({"pattern": "blocks", "macs_ratio": 0.5, "round_to": 8}, "E2013"),
    ({"pattern": "blocks", "macs_ratio": 0.01}, "E3210"),
])
def test_bad_targets_are_refused(niwaki, models, options, code):
    with pytest.raises(niwaki.Error) as error:
        pruned(niwaki, models, **options)
    assert error.value.code == code


def test_options_are_listed(niwaki):
    names = [option["name"] for option in niwaki.options("prune")]
    assert names == ["pattern", "sparsity", "macs_ratio", "latency_ratio", "importance", "refit", "round_to"]
    assert json.dumps(niwaki.options("prune"))
