"""Writes cases for the operator tests into a folder.

usage: write_node_cases.py FOLDER

Each case is FOLDER/NAME with model.onnx, tolerance.txt and set_N/input_I.pb and set_N/output_I.pb:
the node cases of the ONNX backend suite (each operator at its newest version), the models that
ship with the onnx package, and operators at older opsets, whose outputs ONNX Runtime computes.
"""

import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases


def message(value, type_proto):
    """The protobuf message of one input or output, by the type that the model declares."""
    if type_proto.HasField("sequence_type"):
        return numpy_helper.from_list(value)
    if type_proto.HasField("optional_type"):
        return numpy_helper.from_optional(value)
    if isinstance(value, onnx.TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value))


def write_values(folder, prefix, values, infos):
    for i, (value, info) in enumerate(zip(values, infos)):
        data = message(value, info.type).SerializeToString()
        (folder / f"{prefix}_{i}.pb").write_bytes(data)


def write_case(root, case):
    folder = root / case.name
    folder.mkdir()
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "tolerance.txt").write_text(f"{case.rtol} {case.atol}\n")
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"set_{number}"
        data.mkdir()
        write_values(data, "input", inputs, case.model.graph.input)
        write_values(data, "output", outputs, case.model.graph.output)


def copy_shipped(root):
    """The models in the onnx package, which are of opset 1 to 9."""
    data = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
    count = 0
    for path in sorted(data.glob("*/*/model.onnx")):
        folder = path.parent
        if onnx.load(path).opset_import[0].version < 7 or not (folder / "test_data_set_0").exists():
            continue
        target = root / f"{folder.parent.name}_{folder.name}"
        target.mkdir()
        shutil.copy(path, target)
        shutil.copytree(folder / "test_data_set_0", target / "set_0")
        (target / "tolerance.txt").write_text("1e-3 1e-5\n")
        count += 1
    return count


def f32(*shape, low=-2.0, high=2.0):
    rng = np.random.default_rng(sum(shape) + len(shape))
    return rng.uniform(low, high, shape).astype(np.float32)


def ints(*shape, dtype=np.int32):
    return np.random.default_rng(len(shape)).integers(1, 50, shape).astype(dtype)


IMAGE = f32(2, 4, 7, 9)
WINDOW = {"kernel_shape": [3, 3], "strides": [2, 2]}


def reductions():
    names = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split()
    for name in names:
        for opset in (7, 11, 13, 18, 20):
            x = f32(3, 4, 5, low=0.1)
            for keepdims in (0, 1):
                attributes = {"keepdims": keepdims}
                inputs = [x]
                if opset >= 18 or (name == "Sum" and opset >= 13):
                    inputs.append(np.array([-2, 0], np.int64))
                else:
                    attributes["axes"] = [0, 1] if opset < 11 else [-2, 0]
                yield f"Reduce{name}", opset, inputs, attributes
            yield f"Reduce{name}", opset, [x], {}


def activations():
    x = f32(2, 3, 4)
    for opset in (7, 9, 11, 12, 13):
        for name in ("Softmax", "LogSoftmax", "Hardmax"):
            yield name, opset, [x], {}
            yield name, opset, [x], {"axis": 0}
    yield "Clip", 7, [x], {"min": -0.5, "max": 1.0}
    yield "Clip", 7, [x], {"max": 1.0}
    yield "Clip", 11, [x, np.float32(-0.5), np.float32(1)], {}
    yield "Clip", 12, [ints(3, 4, dtype=np.int8), np.int8(9), np.int8(30)], {}
    yield "PRelu", 7, [IMAGE, f32(4, 1, 1)], {}
    for opset in (7, 14, 16):
        for name in ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "HardSigmoid", "Selu"):
            yield name, opset if name in ("Relu", "LeakyRelu") else 7, [x], {}


def windows():
    for opset in (7, 10, 11, 19):
        for extra in (
            {},
            {"pads": [1, 1, 1, 1]},
            {"pads": [0, 1, 2, 1]},
            {"auto_pad": "SAME_UPPER"},
            {"auto_pad": "SAME_LOWER"},
            {"auto_pad": "VALID"},
        ):
            yield "MaxPool", max(opset, 8), [IMAGE], {**WINDOW, **extra}, 2
            for count in (0, 1):
                pooled = {**WINDOW, **extra, "count_include_pad": count}
                yield "AveragePool", opset, [IMAGE], pooled
                if opset >= 10 and "auto_pad" not in extra:
                    yield "AveragePool", opset, [IMAGE], {**pooled, "ceil_mode": 1}
            yield "LpPool", 7, [IMAGE], {**WINDOW, **extra}
        yield "MaxPool", max(opset, 10), [IMAGE], {**WINDOW, "ceil_mode": 1, "dilations": [2, 1]}
        yield "MaxPool", max(opset, 8), [IMAGE], {**WINDOW, "storage_order": 1}, 2
    yield "AveragePool", 19, [IMAGE], {**WINDOW, "dilations": [2, 2], "pads": [1, 2, 1, 2]}
    yield "MaxPool", 12, [f32(2, 3, 11)], {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}, 2
    yield "MaxPool", 12, [f32(1, 2, 5, 6, 7)], {"kernel_shape": [2, 2, 3]}, 2
    yield "MaxPool", 12, [ints(1, 2, 6, 6, dtype=np.uint8)], WINDOW
    yield "AveragePool", 11, [f32(2, 3, 11)], {"kernel_shape": [4], "pads": [1, 2]}
    yield "AveragePool", 11, [f32(1, 2, 5, 6, 7)], {"kernel_shape": [2, 2, 3]}
    for name in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        yield name, 7, [IMAGE], {}


def convolutions():
    w = f32(6, 2, 3, 3)
    for extra in (
        {},
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 1, 2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
    ):
        yield "Conv", 7, [IMAGE, w, f32(6)], {"group": 2, **extra}
        yield "Conv", 11, [IMAGE, w], {"group": 2, **extra}
    yield "Conv", 11, [f32(2, 4, 9), f32(3, 4, 3)], {"pads": [2, 0]}
    yield "Conv", 11, [f32(1, 2, 5, 6, 7), f32(3, 2, 2, 3, 2), f32(3)], {"strides": [1, 2, 2]}
    up = f32(4, 3, 3, 3)
    for extra in (
        {},
        {"strides": [2, 2], "output_padding": [1, 1], "pads": [1, 1, 1, 1]},
        {"strides": [2, 3], "pads": [0, 1, 2, 1]},
        {"strides": [2, 2], "output_shape": [15, 19]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"dilations": [2, 2]},
    ):
        yield "ConvTranspose", 11, [IMAGE, up, f32(3)], extra
    yield "ConvTranspose", 7, [IMAGE, f32(4, 2, 2, 2)], {"group": 2, "strides": [2, 2]}
    yield "ConvTranspose", 11, [f32(2, 4, 9), f32(4, 2, 3), f32(2)], {"strides": [3]}


def normalizations():
    vectors = [f32(4), f32(4), f32(4), f32(4, low=0.5)]
    for opset in (7, 9, 14, 15):
        yield "BatchNormalization", opset, [IMAGE, *vectors], {"epsilon": 0.01}
        yield "BatchNormalization", opset, [f32(5, 4), *vectors], {}
        yield "BatchNormalization", opset, [f32(5, 4, 3), *vectors], {}
    yield "InstanceNormalization", 7, [IMAGE, f32(4), f32(4)], {}
    yield "LRN", 7, [IMAGE], {"size": 3, "alpha": 0.2, "beta": 0.6, "bias": 1.5}
    yield "LRN", 13, [IMAGE], {"size": 5}
    yield "LpNormalization", 7, [IMAGE], {"p": 1, "axis": 1}
    yield "MeanVarianceNormalization", 9, [IMAGE], {}
    yield "LayerNormalization", 17, [f32(2, 3, 4), f32(3, 4), f32(3, 4)], {"axis": 1}
    yield "LayerNormalization", 17, [f32(2, 3, 4), f32(4)], {}


def resizes():
    x = f32(1, 2, 5, 6)
    scales = np.array([1, 1, 2.3, 1.7], np.float32)
    smaller = np.array([1, 1, 0.6, 0.55], np.float32)
    for mode in ("nearest", "linear"):
        yield "Upsample", 7, [x], {"mode": mode, "scales": [1.0, 1.0, 2.0, 3.0]}
        yield "Upsample", 9, [x, np.array([1, 1, 2, 3], np.float32)], {"mode": mode}
        yield "Resize", 10, [x, scales], {"mode": mode}
        yield "Resize", 10, [x, smaller], {"mode": mode}
    roi = np.array([], np.float32)
    for coordinates in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"):
        shared = {"coordinate_transformation_mode": coordinates}
        for sizes in ([1, 2, 9, 13], [1, 2, 3, 4], [1, 2, 1, 6]):
            inputs = [x, roi, roi, np.array(sizes, np.int64)]
            newer = [x, None, None, np.array(sizes, np.int64)]
            yield "Resize", 11, inputs, {**shared, "mode": "linear"}
            yield "Resize", 13, newer, {**shared, "mode": "cubic"}
            yield "Resize", 13, newer, {**shared, "mode": "cubic", "cubic_coeff_a": -0.5}
            if coordinates == "half_pixel":
                yield "Resize", 13, newer, {**shared, "mode": "cubic", "exclude_outside": 1}
            for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
                attributes = {**shared, "mode": "nearest", "nearest_mode": nearest}
                yield "Resize", 11, inputs, attributes
        if coordinates != "align_corners":
            yield "Resize", 13, [x, roi, scales], {**shared, "mode": "linear"}
            yield "Resize", 13, [x, roi, smaller], {**shared, "mode": "cubic"}
    for mode in ("linear", "cubic"):
        yield "Resize", 18, [x, roi, smaller], {"mode": mode, "antialias": 1}


def arithmetic():
    x, y = f32(2, 3, 4, low=0.5), f32(3, 1, low=0.5)
    for opset in (7, 13, 14):
        for name in ("Add", "Sub", "Mul", "Div", "Pow"):
            yield name, opset, [x, y], {}
        for dtype in (np.int32, np.int64):
            for name in ("Add", "Sub", "Mul", "Div"):
                yield name, opset, [ints(2, 3, dtype=dtype) - 25, ints(3, dtype=dtype)], {}
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int64, np.uint32, np.uint64):
        yield "Mod", 13, [ints(2, 3, dtype=dtype), ints(3, dtype=dtype)], {}
    yield "Mod", 13, [f32(2, 3), f32(3, low=0.5)], {"fmod": 1}
    yield "Pow", 13, [ints(2, 3), np.array([2.0, 1.0, 0.5], np.float32)], {}
    yield "Pow", 13, [f32(2, 3), np.float32(2)], {}
    yield "Gemm", 7, [f32(3, 4), f32(4, 5), f32(5)], {"alpha": 0.5, "beta": 2.0}
    yield "Gemm", 9, [f32(4, 3), f32(5, 4), f32(3, 1)], {"transA": 1, "transB": 1}
    yield "Gemm", 11, [f32(3, 4), f32(5, 4), f32(5)], {"transB": 1}
    yield "Gemm", 11, [f32(3, 4), f32(4, 5)], {}
    yield "MatMul", 9, [f32(2, 3, 4), f32(4, 5)], {}
    yield "MatMul", 9, [f32(4), f32(2, 4, 5)], {}
    yield "MatMul", 9, [f32(4), f32(4)], {}
    yield "Einsum", 12, [f32(2, 3, 4), f32(2, 4, 5)], {"equation": "bij, bjk -> bik"}
    for opset in (7, 11, 12, 13):
        last = {"select_last_index": 1} if opset >= 12 else {}
        yield "ArgMax", opset, [np.array([[1, 3, 3], [2, 2, 0]], np.float32)], {"axis": 1, **last}
        yield "ArgMin", opset, [np.array([[1, 3, 1], [2, 0, 0]], np.float32)], {"keepdims": 0}
    yield "CumSum", 11, [f32(3, 4), np.array(1, np.int32)], {"exclusive": 1, "reverse": 1}


def referee_outputs(model, inputs):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def write_old_case(root, number, op, opset, inputs, attributes, num_outputs=1):
    """False where ONNX Runtime has no such operator; None among the inputs is one left out."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    given = {name: np.asarray(x) for name, x in zip(names, inputs) if name}
    outputs = [f"y{i}" for i in range(num_outputs)]
    kinds = {name: helper.np_dtype_to_tensor_dtype(x.dtype) for name, x in given.items()}
    out_kind = TensorProto.INT64 if op.startswith("Arg") else kinds["x0"]
    node = helper.make_node(op, names, outputs, **attributes)
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info(n, kinds[n], x.shape) for n, x in given.items()],
        [
            helper.make_tensor_value_info(n, out_kind if i == 0 else TensorProto.INT64, None)
            for i, n in enumerate(outputs)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    try:
        found = referee_outputs(model, given)
    except Exception as error:  # noqa: BLE001: the referee says so in many types
        print(f"no referee for {op} {opset} {attributes}: {str(error)[:90]}", file=sys.stderr)
        return False
    folder = root / f"opset{opset}_{op}_{number}"
    (folder / "set_0").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "tolerance.txt").write_text("1e-3 1e-5\n")
    write_values(folder / "set_0", "input", list(given.values()), model.graph.input)
    write_values(folder / "set_0", "output", found, model.graph.output)
    return True


def write_old_opsets(root):
    count = 0
    makers = (
        activations, arithmetic, convolutions, normalizations, reductions, resizes, windows,
    )
    for maker in makers:
        for number, case in enumerate(maker()):
            count += write_old_case(root, number, *case)
    return count


def main():
    warnings.simplefilter("ignore")
    root = pathlib.Path(sys.argv[1])
    root.mkdir(parents=True)
    cases = [case for case in collect_testcases(None) if case.model is not None]
    for case in cases:
        write_case(root, case)
    print(len(cases), copy_shipped(root), write_old_opsets(root))


if __name__ == "__main__":
    main()
