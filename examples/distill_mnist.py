"""Hinton's experiment (arXiv 1503.02531, section 3) with Niwaki: a large network teaches a small one to read digits.

    python examples/distill_mnist.py --mnist DIR      # the four idx files of MNIST, plain or .gz

A teacher of 784-1200-1200-10, trained on moved digits, and two students of 784-800-800-10 that see the digits as they are:
one learns the labels, the other the teacher's answers at temperature 20. Both start from the same weights and take the same
steps. Errors among the 10,000 test digits in the paper, with a teacher that also had dropout: teacher 67, labels 146,
distilled 74. With 20 epochs for the teacher and 15 for the students, this script: teacher 84, labels 141, distilled 105.
"""

import argparse
import gzip
import pathlib
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import niwaki


def read_idx(folder, name):
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
            sizes = [int.from_bytes(data[4 * k:4 * k + 4], "big") for k in range(1, data[3] + 1)]
            return np.frombuffer(data, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)
    raise SystemExit(f"{folder / name}: no such file, plain or .gz")


def digits(folder, kind):
    images, labels = read_idx(folder, f"{kind}-images-idx3-ubyte"), read_idx(folder, f"{kind}-labels-idx1-ubyte")
    return images[:, None].astype(np.float32) / np.float32(255), labels.astype(np.int64)


def network(hidden, seed):
    """Dense ReLU network on images [N, 1, 28, 28] with two hidden layers, freshly initialised."""
    rng, sizes = np.random.default_rng(seed), (784, hidden, hidden, 10)
    nodes, tensors, value = [helper.make_node("Flatten", ["image"], ["flat"], name="flatten")], [], "flat"
    for k, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), 1):
        weight = rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs)).astype(np.float32)
        tensors += [numpy_helper.from_array(weight, f"fc{k}.weight"), numpy_helper.from_array(np.zeros(outputs, np.float32), f"fc{k}.bias")]
        made = "scores" if k == 3 else f"h{k}"
        nodes.append(helper.make_node("Gemm", [value, f"fc{k}.weight", f"fc{k}.bias"], [made], name=f"fc{k}", transB=1))
        if k < 3:
            nodes.append(helper.make_node("Relu", [made], [f"r{k}"], name=f"relu{k}"))
        value = f"r{k}"
    graph = helper.make_graph(nodes, "mlp", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def errors(model, images, labels):
    scores = model.run({"image": images})["scores"]
    return int((np.asarray(scores).argmax(1) != labels).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=pathlib.Path, required=True, help="folder with the four idx files")
    parser.add_argument("--teacher-epochs", type=int, default=30)
    parser.add_argument("--student-epochs", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("mnist_students"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    train, test = digits(asked.mnist, "train"), digits(asked.mnist, "t10k")
    for name, hidden in (("teacher", 1200), ("student", 800)):
        onnx.save(network(hidden, asked.seed), asked.out / f"fresh_{name}.onnx")

    def trained(name, function, model, epochs, **options):
        begin = time.time()
        path = function(asked.out / model, train=train, epochs=epochs, batch=128, lr=1e-3, seed=asked.seed, latency="off", **options).save(asked.out / f"{name}.onnx", overwrite=True).path
        wrong = errors(niwaki.load(path), *test)
        print(f"{name:10} {wrong:4} errors of {len(test[1])}   {time.time() - begin:5.0f} s", flush=True)
        return wrong

    trained("teacher", niwaki.finetune, "fresh_teacher.onnx", asked.teacher_epochs, crop=2)
    labels = trained("labels", niwaki.finetune, "fresh_student.onnx", asked.student_epochs)
    distilled = trained("distilled", niwaki.distill, "fresh_student.onnx", asked.student_epochs, teacher=asked.out / "teacher.onnx",
                        temperature=asked.temperature, alpha=1.0)
    raise SystemExit(0 if distilled < labels else "the teacher did not help")


if __name__ == "__main__":
    main()
