"""Training from Python: GraphModule beside torch and ONNX Runtime, finetune and distill."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import niwaki
from niwaki import nn


def mlp(sizes, seed=0, zeros=0.0):
    rng, nodes, tensors, value = np.random.default_rng(seed), [], [], "x"
    for k, (n, o) in enumerate(zip(sizes, sizes[1:])):
        last = k == len(sizes) - 2
        weight = (rng.uniform(-1, 1, (o, n)) / np.sqrt(n)).astype(np.float32)
        weight[rng.random(weight.shape) < zeros] = 0
        tensors += [numpy_helper.from_array(weight, f"layers.{k}.weight"), numpy_helper.from_array(np.zeros(o, np.float32), f"layers.{k}.bias")]
        nodes.append(helper.make_node("Gemm", [value, f"layers.{k}.weight", f"layers.{k}.bias"], ["y" if last else f"h{k}"], name=f"gemm{k}", transB=1))
        value = f"r{k}"
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{k}"], [value], name=f"relu{k}"))
    graph = helper.make_graph(nodes, "mlp", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", sizes[0]])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", sizes[-1]])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(model, path):
    onnx.save(model, path)
    return str(path)


def scores(path, x):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def spirals(count, seed):
    """Three classes in the plane, lifted to six features."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    angle = rng.uniform(0, 3, count)
    radius = angle / 3
    x = np.stack([radius * np.cos(angle * 2 + labels * 2.09), radius * np.sin(angle * 2 + labels * 2.09)], 1)
    lifted = np.concatenate([x, x**2, x[:, :1] * x[:, 1:], np.ones((count, 1))], 1)
    return lifted.astype(np.float32), labels.astype(np.int64)


def accuracy(path, seed=9):
    x, labels = spirals(1000, seed)
    return (scores(path, x).argmax(1) == labels).mean()


def test_module_has_the_names_and_gradients_of_torch(tmp_path):
    path = saved(mlp([6, 16, 3]), tmp_path / "m.onnx")
    module = nn.GraphModule(path)
    torch_net = torch.nn.Module()
    torch_net.layers = torch.nn.ModuleList([torch.nn.Linear(6, 16), torch.nn.Linear(16, 3)])
    torch_net.load_state_dict(module.state_dict())
    x, labels = (torch.from_numpy(a) for a in spirals(40, 1))
    y = module(x)
    assert np.allclose(y.detach().numpy(), scores(path, x.numpy()), atol=1e-5)
    torch.nn.functional.cross_entropy(y, labels).backward()
    torch.nn.functional.cross_entropy(torch_net.layers[1](torch.relu(torch_net.layers[0](x))), labels).backward()
    wanted = dict(torch_net.named_parameters())
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter.grad, wanted[name].grad, atol=1e-6), name
    with torch.no_grad():
        assert not module(x).requires_grad


def test_trained_values_go_back(tmp_path):
    module = nn.GraphModule(saved(mlp([6, 32, 3]), tmp_path / "m.onnx"))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    x, labels = (torch.from_numpy(a) for a in spirals(1000, 2))
    before = float(torch.nn.functional.cross_entropy(module(x), labels))
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x=x), labels).backward()
        optimizer.step()
    after = float(torch.nn.functional.cross_entropy(module(x), labels))
    assert after < 0.7 * before
    trained = niwaki.from_module(module).save(tmp_path / "trained.onnx").path
    onnx.checker.check_model(str(trained), full_check=True)
    assert np.allclose(scores(trained, x.numpy()), module(x).detach().numpy(), atol=1e-5)


def test_zeros_of_pruned_weights_stay(tmp_path):
    module = nn.GraphModule(saved(mlp([6, 32, 3], zeros=0.5), tmp_path / "m.onnx"))
    zero = module.layers._modules["0"].weight == 0
    assert 0.3 < zero.float().mean() < 0.7
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    x, labels = (torch.from_numpy(a) for a in spirals(100, 3))
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x), labels).backward()
        optimizer.step()
        module.apply_masks()
    weight = module.layers._modules["0"].weight
    assert torch.equal(weight == 0, zero)


def test_only_some_nodes_train(tmp_path):
    module = nn.GraphModule(saved(mlp([6, 8, 3]), tmp_path / "m.onnx"), only=["gemm1"])
    assert sorted(dict(module.named_parameters())) == ["layers.1.bias", "layers.1.weight"]


def test_wrong_inputs_and_modules_are_refused(tmp_path):
    module = nn.GraphModule(saved(mlp([6, 8, 3]), tmp_path / "m.onnx"))
    with pytest.raises(niwaki.UsageError, match="E1704"):
        module()
    with pytest.raises(niwaki.UsageError, match="E1704"):
        module(torch.zeros(1, 6), z=torch.zeros(1))
    with pytest.raises(niwaki.UnsupportedError, match="GraphModule"):
        niwaki.from_module(torch.nn.Linear(2, 2))


def test_finetune_learns_labels(tmp_path):
    path = saved(mlp([6, 32, 3]), tmp_path / "m.onnx")
    trained = niwaki.finetune(path, train=spirals(2000, 4), epochs=12, lr=1e-2, seed=1)
    trained.save(tmp_path / "t.onnx")
    assert accuracy(tmp_path / "t.onnx") > max(0.8, accuracy(path) + 0.2)
    assert [w for w in trained.weights] == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    again = niwaki.finetune(path, train=spirals(2000, 4), epochs=12, lr=1e-2, seed=1, threads=1)
    assert again.to_bytes() == trained.to_bytes()


class Preactivated(torch.nn.Module):
    """Norms that no convolution in front can take."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
        self.conv2, self.bn2 = torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
        self.head = torch.nn.Linear(8, 4)

    def forward(self, x):
        x = self.conv1(x).relu()
        x = x + self.conv2(self.bn1(x).relu())
        return self.head(self.bn2(x.relu()).mean((2, 3)))


def preactivated(path):
    torch.manual_seed(0)
    module = Preactivated().eval()
    with torch.no_grad():
        for norm in (module.bn1, module.bn2):
            norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 1.5), norm.bias.normal_()                  # else the exporter stores them once for both
    torch.onnx.export(module, (torch.zeros(1, 3, 8, 8),), str(path), dynamo=False, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    images = torch.randn(32, 3, 8, 8)
    return module, images, torch.arange(32) % 4


def test_batch_norms_train_as_in_torch(tmp_path):
    module, images, labels = preactivated(tmp_path / "m.onnx")
    trained = niwaki.finetune(str(tmp_path / "m.onnx"), train=(images.numpy(), labels.numpy()), steps=5, batch=32, optimizer="sgd", lr=0.05,
                              weight_decay=0, schedule="constant", warm_up=0, clip=0, hold_out=0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    module.train()
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    for norm in (module.bn1, module.bn2):
        norm.reset_running_stats(), setattr(norm, "momentum", None)
    module(images)
    module.eval()
    kept = niwaki.finetune(str(tmp_path / "m.onnx"), train=(images.numpy(), labels.numpy()), steps=5, batch=32, batch_norm="frozen", hold_out=0)
    weights = {name: trained.weights[name] for name in trained.weights}
    assert {"bn1.running_mean", "bn2.running_var"} <= set(weights)
    for name, value in module.state_dict().items():
        if "num_batches" in name:
            continue
        value = value.numpy() * 2047 / 2048 if "running_var" in name else value.numpy()   # torch stores that of a sample
        if name in weights:
            np.testing.assert_allclose(weights[name], value, rtol=2e-3, atol=2e-4, err_msg=name)
    trained.save(tmp_path / "t.onnx")
    with torch.no_grad():
        np.testing.assert_allclose(scores(tmp_path / "t.onnx", images.numpy()), module(images).numpy(), rtol=0.02, atol=0.01)
    np.testing.assert_array_equal(kept.weights["bn1.running_mean"], niwaki.load(str(tmp_path / "m.onnx")).weights["bn1.running_mean"])


def test_module_moves_batch_norms_as_torch(tmp_path):
    module, images, labels = preactivated(tmp_path / "m.onnx")
    ours = nn.GraphModule(str(tmp_path / "m.onnx"), batch_norm="train")
    assert {"bn1.running_mean", "bn2.running_var"} <= set(ours.state_dict())
    for one in (module, ours):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.05)
        one.train()
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(one(images), labels).backward()
            optimizer.step()
        one.eval()
    want = module.state_dict()
    for name, value in ours.state_dict().items():
        if name in want:
            torch.testing.assert_close(value, want[name], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), module(images), rtol=1e-4, atol=1e-4)
    niwaki.from_module(ours).save(tmp_path / "t.onnx")
    with torch.no_grad():
        np.testing.assert_allclose(scores(tmp_path / "t.onnx", images.numpy()), module(images).numpy(), rtol=1e-3, atol=1e-3)
    frozen = nn.GraphModule(str(tmp_path / "m.onnx"))
    assert "bn1.running_mean" not in frozen.state_dict()
    with pytest.raises(niwaki.UsageError, match="batch_norm"):
        nn.GraphModule(str(tmp_path / "m.onnx"), batch_norm="moving")


def test_distill_follows_the_teacher(tmp_path):
    teacher = niwaki.finetune(saved(mlp([6, 64, 3]), tmp_path / "t0.onnx"), train=spirals(4000, 5), epochs=15, lr=1e-2)
    student = saved(mlp([6, 24, 3], seed=3), tmp_path / "s.onnx")
    x, _ = spirals(2000, 6)
    distilled = niwaki.distill(student, teacher=teacher, train=x, epochs=40, lr=3e-2)
    distilled.save(tmp_path / "d.onnx")
    teacher.save(tmp_path / "t.onnx")
    x, _ = spirals(500, 7)
    def agreement(path):
        return (scores(path, x).argmax(1) == scores(tmp_path / "t.onnx", x).argmax(1)).mean()
    assert agreement(tmp_path / "d.onnx") > max(0.8, agreement(student) + 0.2)


def test_bad_training_is_refused(tmp_path):
    path = saved(mlp([6, 8, 3]), tmp_path / "m.onnx")
    x, labels = spirals(50, 8)
    with pytest.raises(niwaki.UsageError, match="labels"):
        niwaki.finetune(path, train=x)
    with pytest.raises(niwaki.UsageError, match="label 7"):
        niwaki.finetune(path, train=(x, labels + 5))
    with pytest.raises(niwaki.UsageError, match="E2004"):
        niwaki.finetune(path, train=(x, labels), learning_rate=3)
    wide = saved(mlp([6, 8, 4]), tmp_path / "w.onnx")
    with pytest.raises(niwaki.UsageError, match="E3322"):
        niwaki.distill(path, teacher=wide, train=x)
