"""Imported models as torch modules: train any ONNX model with any torch optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from niwaki._errors import UnsupportedError, UsageError
from niwaki._model import Model, load
from niwaki._native import core


class GraphModule(torch.nn.Module):
    """A model as a torch.nn.Module whose parameters are the constants that can be trained.

    `model` is a Model or a path; `keep` and `only` are patterns of nodes, as on the command line. Parameters have the names of
    the constants, nested at the dots: `module.state_dict()` of an exported network has the names it had in PyTorch. Inputs come
    by place or by name and outputs in the order of the model, alone where there is one. Zeros of pruned weights stay zero: their
    gradient is zero, and `apply_masks()` after an optimizer step takes away what momentum or decay did. Batch norms use their
    stored statistics; with `batch_norm="train"` these are buffers, and norms use those of the batch and move the buffers in
    training mode, as torch.nn.BatchNorm2d does. Runs on the CPU.

        module = niwaki.nn.GraphModule("model.onnx")
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        loss.backward(); optimizer.step(); module.apply_masks()
        niwaki.from_module(module).save("trained.onnx")
    """

    def __init__(self, model, *, keep: Sequence[str] = (), only: Sequence[str] = (), batch_norm: str = "frozen"):
        super().__init__()
        self._source = model if isinstance(model, Model) else load(model)
        keep, only = ([patterns] if isinstance(patterns, str) else list(patterns) for patterns in (keep, only))
        if batch_norm not in ("frozen", "train"):
            raise UsageError(f"batch_norm is '{batch_norm}'; needed 'frozen' or 'train'", "E2008")
        self._trainee = core().Trainee(self._source._native, keep, only, batch_norm == "train")
        values = self._trainee.values()
        self._ports = [port.name for port in self._source.inputs]
        self._places: list[tuple[torch.nn.Module, str]] = []
        self._masks: list[str | None] = []
        for i, (name, value, mask) in enumerate(zip(self._trainee.names, values, self._trainee.masks())):
            owner, leaf = self._owner(name)
            owner.register_parameter(leaf, torch.nn.Parameter(value))
            self._places.append((owner, leaf))
            self._masks.append(None if mask is None else f"_mask{i}")
            if mask is not None:
                self.register_buffer(f"_mask{i}", mask, persistent=False)
        self._statistics: list[tuple[torch.nn.Module, str]] = []
        for name, value in zip(self._trainee.statistic_names, values[len(self._places):]):
            owner, leaf = self._owner(name)
            owner.register_buffer(leaf, value)
            self._statistics.append((owner, leaf))

    def _owner(self, name: str) -> tuple[torch.nn.Module, str]:
        """The nested module for a constant's name, and its name there; a name that nests nowhere is taken whole."""
        owner, parts = self, name.split(".")
        for k, part in enumerate(parts[:-1]):
            child = owner._modules.get(part)
            if child is None and (not part or hasattr(owner, part)):
                return self, name.replace(".", "_")
            if child is None:
                child = torch.nn.Module()
                owner.add_module(part, child)
            owner = child
        if not parts[-1] or hasattr(owner, parts[-1]):
            return self, "_".join(["parameter", *parts])
        return owner, parts[-1]

    def _values(self) -> list[torch.Tensor]:
        values = [getattr(owner, leaf) for owner, leaf in self._places]
        weights = [value if mask is None else value * getattr(self, mask) for value, mask in zip(values, self._masks)]
        return weights + [getattr(owner, leaf) for owner, leaf in self._statistics]

    @torch.no_grad()
    def _move_statistics(self, read) -> None:
        """As torch.nn.BatchNorm2d: the variance is that of a sample, momentum as the node has it."""
        for k, (momentum, found) in enumerate(zip(self._trainee.momenta, read)):
            if found is None:
                continue
            mean, variance, count = found
            for (owner, leaf), value in zip(self._statistics[2 * k:], (mean, variance * (count / max(count - 1, 1)))):
                getattr(owner, leaf).lerp_(value, 1 - momentum)

    def forward(self, *inputs: torch.Tensor, **named: torch.Tensor):
        given = dict(zip(self._ports, inputs))
        if len(inputs) > len(self._ports) or set(named) - set(self._ports) or set(named) & set(given):
            raise UsageError(f"the model has the inputs {', '.join(self._ports)}", "E1704")
        given.update(named)
        if missing := [name for name in self._ports if name not in given]:
            raise UsageError(f"no tensor for input '{missing[0]}'", "E1704")
        values = self._values()
        for tensor in (*given.values(), *values):
            if tensor.device.type != "cpu":
                raise UnsupportedError(f"a tensor is on {tensor.device}; the built-in executor runs on the CPU", "E3101")
        by_batch = self.training and bool(self._statistics)
        outputs, read = self._trainee.forward([given[name] for name in self._ports] + values, by_batch)
        if by_batch:
            self._move_statistics(read)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    @torch.no_grad()
    def apply_masks(self) -> None:
        """Sets pruned weights to zero again, exactly."""
        for (owner, leaf), mask in zip(self._places, self._masks):
            if mask is not None:
                getattr(owner, leaf).masked_fill_(~getattr(self, mask), 0.0)

    def model(self) -> Model:
        """The model with the parameters as they are now."""
        values = [value.detach() for value in self._values()]
        return Model(self._trainee.with_values(values), self._source._name, self._source._folder)


def from_module(module: torch.nn.Module) -> Model:
    """The model of a GraphModule, with the parameters as they are now."""
    if isinstance(module, GraphModule):
        return module.model()
    raise UnsupportedError(f"a {type(module).__name__} is no niwaki.nn.GraphModule", "E3102",
                           hint="torch.onnx.export(module, inputs, 'model.onnx') writes a file that niwaki.load reads")
