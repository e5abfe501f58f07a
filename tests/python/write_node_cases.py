"""Writes the node cases of the ONNX backend suite into a folder, for the operator tests.

usage: write_node_cases.py FOLDER

Each case is FOLDER/NAME with model.onnx, tolerance.txt and input_I.pb and output_I.pb of each set.
"""

import pathlib
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
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


def main():
    warnings.simplefilter("ignore")
    root = pathlib.Path(sys.argv[1])
    root.mkdir(parents=True)
    cases = [case for case in collect_testcases(None) if case.model is not None]
    for case in cases:
        write_case(root, case)
    print(len(cases))


if __name__ == "__main__":
    main()
