"""The verbs pack and unpack, and every byte of an archive counted again by a reader of its own."""

import json
import subprocess

import archive_reader
import conftest
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def run():
    program = conftest.BUILD / "niwaki"
    if not program.exists():
        pytest.skip("the program is not built: scripts/build.sh release niwaki")

    def call(*words, code=0):
        done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done

    return call


def model_with(path, tensors, external=False):
    """One Identity per tensor: enough of a model to hold anything."""
    initializers = [onnx.numpy_helper.from_array(values, name) for name, values in tensors.items()]
    nodes = [onnx.helper.make_node("Identity", [name], [f"{name}_out"]) for name in tensors]
    outputs = [onnx.helper.make_tensor_value_info(f"{t.name}_out", t.data_type, list(t.dims)) for t in initializers]
    graph = onnx.helper.make_graph(nodes, "g", [], outputs, initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=external, location=path.stem + ".data", size_threshold=0)
    return path


def tensors():
    random = np.random.default_rng(0)
    mask = random.random((60, 80)) < 0.1 * random.random((1, 80)) * 2
    codes = np.where(mask, random.integers(1, 255, (60, 80)), 128).astype(np.uint8)
    return {
        "sparse": codes,
        "turned": np.ascontiguousarray(codes.T),
        "int8": np.clip(np.round(random.normal(0, 20, (100, 90))), -127, 127).astype(np.int8),
        "large": np.clip(np.round(random.normal(0, 20, (200, 200))), -127, 127).astype(np.int8),
        "few": (random.integers(0, 16, (50, 40)) * 0.1).astype(np.float32),
        "floats": random.normal(0, 0.1, (40, 50)).astype(np.float32),
        "half": random.normal(0, 0.1, (30, 20)).astype(np.float16),
        "double": random.normal(0, 0.1, (30, 20)),
        "shape": np.arange(100, dtype=np.int64),
        "strings": np.array(["a", "bc"], dtype=object),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.array(3.0, np.float32),
        "flags": random.random(500) < 0.5,
        "same": codes.copy(),
        "text": np.frombuffer(b"the same words again and again. " * 40, np.uint8),
    }


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("codec", ["auto", "zstd", "rans"])
def test_every_byte_is_accounted_for(run, tmp_path, codec, external):
    path = model_with(tmp_path / "m.onnx", tensors(), external)
    archive = tmp_path / "m.niwaki"
    told = json.loads(run("pack", path, "-o", archive, "--codec", codec, "--json").stdout)
    model, sides, counted = archive_reader.read(archive.read_bytes())
    assert model == path.read_bytes()
    assert sides == ({"m.data": (tmp_path / "m.data").read_bytes()} if external else {})
    assert told["archive_bytes"] == archive.stat().st_size == sum(counted.values())
    assert told["rest"]["coded_bytes"] == counted["graph"]
    assert told["tensors"]["coded_bytes"] == counted["tensors"]
    assert told["index_bytes"] == counted["head"] + counted["index"]


def test_unpack_gives_the_same_bytes(run, tmp_path):
    path = model_with(tmp_path / "m.onnx", tensors(), True)
    before = path.read_bytes(), (tmp_path / "m.data").read_bytes()
    run("pack", path, "-o", tmp_path / "m.niwaki")
    (tmp_path / "there").mkdir()
    run("unpack", tmp_path / "m.niwaki", "-o", tmp_path / "there" / "n.onnx")
    assert (tmp_path / "there" / "n.onnx").read_bytes() == before[0]
    assert (tmp_path / "there" / "m.data").read_bytes() == before[1]
    run("unpack", tmp_path / "m.niwaki", "-o", tmp_path / "there" / "n.onnx", code=2)


def test_archives_are_models(run, examples, tmp_path):
    model, archive = examples / "digits_cnn.onnx", tmp_path / "digits.niwaki"
    run("pack", model, "-o", archive)
    assert archive.stat().st_size < model.stat().st_size
    facts = [json.loads(run("inspect", one, "--json").stdout) for one in (model, archive)]
    assert facts[1]["format"] == "niwaki"
    for key in ("inputs", "outputs", "ops", "macs", "weights"):
        assert facts[0][key] == facts[1][key]
    run("check", archive)
    scores = [json.loads(run("eval", one, "--data", examples / "digits_test.npz", "--runtime", "builtin", "--json").stdout)["quality"][0]["value"] for one in (model, archive)]
    assert scores[0] == scores[1]
    run("convert", archive, "-o", tmp_path / "again.onnx", "--cleanup", "none", "--encode", "off", "--verify", "builtin")
    onnx.checker.check_model(str(tmp_path / "again.onnx"))


def test_damage_is_named(run, tmp_path):
    archive = tmp_path / "m.niwaki"
    run("pack", model_with(tmp_path / "m.onnx", tensors()), "-o", archive)
    good = archive.read_bytes()
    for bad, code in ((good[:-1], "E1802"), (good[:-1] + bytes([good[-1] ^ 1]), "E1803"), (good + b"x", "E1802"), (good[:8] + b"\2" + good[9:], "E1801")):
        (tmp_path / "bad.niwaki").write_bytes(bad)
        done = run("unpack", tmp_path / "bad.niwaki", "-o", tmp_path / "bad.onnx", code=3)
        assert code in done.stderr and "bad.niwaki" in done.stderr
        assert not (tmp_path / "bad.onnx").exists()


def test_python_packs_and_unpacks(niwaki, tmp_path):
    path = model_with(tmp_path / "m.onnx", tensors(), external=True)
    packed = niwaki.pack(path, tmp_path / "m.niwaki")
    assert packed.bytes == packed.path.stat().st_size < sum(f.stat().st_size for f in (path, tmp_path / "m.data"))
    (tmp_path / "back").mkdir()
    paths = niwaki.unpack(packed.path, tmp_path / "back" / "m.onnx")
    assert [p.name for p in paths] == ["m.onnx", "m.data"]
    assert all(p.read_bytes() == (tmp_path / p.name).read_bytes() for p in paths)
    assert np.array_equal(niwaki.load(packed.path).weights["floats"], tensors()["floats"])
    with pytest.raises(niwaki.UsageError, match="exists"):
        niwaki.unpack(packed.path, tmp_path / "back" / "m.onnx")
    with pytest.raises(niwaki.UsageError, match="codec"):
        niwaki.pack(path, tmp_path / "n.niwaki", codec="lzma")
