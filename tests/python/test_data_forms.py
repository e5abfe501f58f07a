"""Every form of samples gives what the same samples give as arrays."""

import gzip
import struct

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

COUNT = 64


@pytest.fixture(scope="module")
def digits():
    import conftest

    with np.load(conftest.ROOT / "examples" / "models" / "digits_test.npz") as archive:
        return archive["input"][:COUNT], archive["labels"][:COUNT]


@pytest.fixture(scope="module")
def scored(niwaki):
    """Quality of the bundled model on some data, before and after storing its weights as integers."""
    import conftest

    model = conftest.ROOT / "examples" / "models" / "digits_cnn.onnx"

    def score(data, **options):
        small = niwaki.quantize(model, mode="storage", evaluation=data, latency="off", metric="top1", **options)
        entry = small.report.to_dict()["quality"][0]
        return entry["samples"], entry["before"], entry["after"]

    return score


@pytest.fixture(scope="module")
def wanted(scored, digits):
    return scored(digits)


def test_folder(scored, digits, wanted, tmp_path):
    for i, sample in enumerate(digits[0]):
        np.save(tmp_path / f"{i:04}.npy", sample)
    (tmp_path / "labels.csv").write_text("".join(f"{label}\n" for label in digits[1]))
    assert scored(tmp_path) == wanted


def test_folder_per_input(scored, digits, wanted, tmp_path):
    (tmp_path / "input").mkdir()
    for i, sample in enumerate(digits[0]):
        np.save(tmp_path / "input" / f"{i:04}.npy", sample)
    np.save(tmp_path / "labels.npy", digits[1])
    assert scored(str(tmp_path) + "/") == wanted


def test_csv(scored, digits, wanted, tmp_path):
    rows = [",".join(map(repr, map(float, x.flatten()))) + f",{label}\n" for x, label in zip(*digits)]
    (tmp_path / "rows.csv").write_text("".join(rows))
    assert scored(tmp_path / "rows.csv", csv={"label": "last"}) == wanted


def test_idx_with_preprocess(scored, digits, wanted, tmp_path):
    levels = digits[0] / digits[0].max()
    steps = np.rint(levels * 16).astype(np.uint8)  # the digits have 17 levels of grey
    scale = float(digits[0].max()) / 16
    assert np.allclose(steps * scale, digits[0])
    images = tmp_path / "digits-images-idx3-ubyte.gz"
    images.write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, COUNT, 8, 8) + steps.tobytes()))
    (tmp_path / "digits-labels-idx1-ubyte").write_bytes(
        struct.pack(">4BI", 0, 0, 8, 1, COUNT) + digits[1].astype(np.uint8).tobytes())
    assert scored(images, preprocess={"scale": scale}) == wanted
    (tmp_path / "p.yaml").write_text(f"preprocess: {{scale: {scale!r}}}\n")
    assert scored(images, preprocess=tmp_path / "p.yaml") == wanted


def test_refusals(niwaki, scored, tmp_path):
    (tmp_path / "rows.csv").write_text("1,2\n3,x\n")
    with pytest.raises(niwaki.Error, match="'x' is not a number") as caught:
        scored(tmp_path / "rows.csv")
    assert caught.value.code == "E1707"
    with pytest.raises(niwaki.Error) as caught:
        scored(tmp_path / "rows.csv", preprocess={"crop": 224})
    assert caught.value.code == "E2002"
    with pytest.raises(niwaki.Error) as caught:
        niwaki.compare(*2 * [_model()], data=tmp_path / "rows.csv")
    assert caught.value.code == "E1714"


def _model():
    import conftest

    return conftest.ROOT / "examples" / "models" / "digits_cnn.onnx"
