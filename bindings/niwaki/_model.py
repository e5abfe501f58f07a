"""A model in memory."""

from __future__ import annotations

import functools
import html
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niwaki._data import as_numpy
from niwaki._errors import UsageError
from niwaki._native import core

if TYPE_CHECKING:
    import torch

    from niwaki._report import Report


@dataclass(frozen=True)
class Port:
    """An input or output: sizes are numbers, names, or None where nothing is known."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        sizes = "?" if self.shape is None else ",".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}[{sizes}]"


@dataclass(frozen=True)
class Saved:
    """A file that was written."""

    path: Path
    sha256: str
    bytes: int


class Weights(Mapping):
    """The constants by name, each a torch.Tensor that shares the model's memory: read it, or clone it first."""

    def __init__(self, native):
        self._native = native
        self._names = {name: None for name in native.weight_names}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._native.weight(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{len(self)} weights: {', '.join(list(self)[:5])}{', ...' if len(self) > 5 else ''}>"


class Model:
    """A model that was read or made. `report` is that of the run which made it, or None."""

    def __init__(self, native, name: str, folder: tempfile.TemporaryDirectory | None = None, report: Report | None = None):
        self._native, self._name, self._folder, self.report = native, name, folder, report

    @property
    def path(self) -> str:
        """The file it is read from, which may be a temporary one."""
        return self._native.path

    @property
    def inputs(self) -> list[Port]:
        return [_port(facts) for facts in self._native.inputs]

    @property
    def outputs(self) -> list[Port]:
        return [_port(facts) for facts in self._native.outputs]

    @property
    def opset(self) -> int:
        return self._native.opset

    @property
    def file_bytes(self) -> int:
        return self._native.file_bytes

    @functools.cached_property
    def weights(self) -> Weights:
        return Weights(self._native)

    @functools.cached_property
    def _executor(self):
        return core().Executor(self._native)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Outputs by name, computed by the built-in executor."""
        known = {port.name: port for port in self.inputs}
        if missing := [name for name in known if name not in inputs]:
            raise UsageError(f"no array for input '{missing[0]}'", "E1704", found=f"inputs: {', '.join(map(str, known.values()))}")
        if strange := [name for name in inputs if name not in known]:
            raise UsageError(f"the model has no input '{strange[0]}'", "E1704", found=f"inputs: {', '.join(map(str, known.values()))}")
        arrays = [_tensor(inputs[name], port) for name, port in known.items()]
        return dict(zip([port.name for port in self.outputs], self._executor.run(arrays)))

    def inspect(self) -> dict[str, Any]:
        """Inputs, outputs, opset, operators, and where the bytes of the file go."""
        return {
            "name": self._name, "format": self._native.format, "file_bytes": self.file_bytes, "sha256": self._native.sha256,
            "opset": self.opset, "inputs": self.inputs, "outputs": self.outputs,
            "ops": dict(Counter(op for _, op in self._native.nodes).most_common()),
            "bytes": json.loads(self._native.footprint()), "notes": list(self._native.notes),
        }

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Saved:
        """Writes an ONNX file; it takes its name when it is complete."""
        written, sha256, count = core().write_model(self._native, os.fspath(path), overwrite)
        return Saved(Path(written), sha256, count)

    def to_bytes(self) -> bytes:
        """The model as the bytes of an ONNX file."""
        with tempfile.TemporaryDirectory(prefix="niwaki-") as folder:
            return self.save(Path(folder) / "model.onnx").path.read_bytes()

    def __repr__(self) -> str:
        ports = f"{', '.join(map(str, self.inputs))} -> {', '.join(map(str, self.outputs))}"
        text = f"<niwaki.Model {self._name}, {self.file_bytes:,} bytes, {len(self._native.nodes)} nodes, opset {self.opset}, {ports}"
        return text + (f", {self.report.verdict}>" if self.report else ">")

    def _repr_html_(self) -> str:
        facts = {
            "model": self._name, "file": f"{self.file_bytes:,} bytes", "nodes": len(self._native.nodes), "opset": self.opset,
            "inputs": ", ".join(map(str, self.inputs)), "outputs": ", ".join(map(str, self.outputs)),
        }
        rows = "".join(f"<tr><th>{key}</th><td>{html.escape(str(value))}</td></tr>" for key, value in facts.items())
        return f"<table>{rows}</table>" + (self.report._repr_html_() if self.report else "")


def _port(facts: dict[str, Any]) -> Port:
    return Port(facts["name"], facts["dtype"], None if facts["shape"] is None else tuple(facts["shape"]))


def _tensor(value: Any, port: Port):
    import torch

    if not isinstance(value, torch.Tensor):
        array = as_numpy(value)
        if isinstance(value, (int, float, bool, list, tuple)):
            array = array.astype({"boolean": "bool"}.get(port.dtype, port.dtype))
        value = torch.from_numpy(array if array.flags.writeable else array.copy())
    wanted = {"boolean": "bool"}.get(port.dtype, port.dtype)
    if str(value.dtype) != f"torch.{wanted}":
        raise UsageError(f"array '{port.name}' is {str(value.dtype).removeprefix('torch.')}; the input wants {wanted}", "E1704")
    return value.contiguous()


def load(path: str | os.PathLike[str]) -> Model:
    """Reads a model file; its content decides the format."""
    path = os.fspath(path)
    return Model(core().read_model(path), os.path.basename(path))


def load_bytes(data: bytes | bytearray | memoryview, *, suffix: str = ".onnx") -> Model:
    """Reads a model that lies in memory."""
    folder = tempfile.TemporaryDirectory(prefix="niwaki-")
    path = Path(folder.name) / f"model{suffix}"
    path.write_bytes(data)
    return Model(core().read_model(str(path)), path.name, folder)
