#!/usr/bin/env python3
"""Trains the bundled example model and writes the three files of examples/models.

usage: .venv/bin/python examples/train_model.py [OUT_DIR]     about a minute on two cores

The data are the 1797 handwritten digits (8x8 pixels, 0 to 16) that come inside scikit-learn: 900 train the model, 256 of
those calibrate, the other 897 test. Same versions, same files: seeds are fixed and training runs on one thread.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

TRAINED_ON, CALIBRATED_ON = 900, 256
EPOCHS, BATCH = 40, 50


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class DigitsCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv(1, 24), nn.ReLU(), Residual(24), conv(24, 48, stride=2), nn.ReLU(), Residual(48))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))

    def forward(self, x):
        return self.head(self.body(x))


def load():
    """Images [1797, 1, 8, 8] from 0 to 1 and labels [1797], shuffled with a fixed seed."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.images[order, None] / 16).astype(np.float32)
    return images, digits.target[order].astype(np.int64)


def shifted(x, generator):
    """The batch moved by up to one pixel, so that few samples go further."""
    rows, columns = torch.randint(-1, 2, (2,), generator=generator).tolist()
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    return padded[:, :, 1 + rows : 9 + rows, 1 + columns : 9 + columns]


def train(x, y) -> DigitsCnn:
    model, generator = DigitsCnn(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = nn.functional.cross_entropy(model(shifted(x[batch], generator)), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d}   loss {loss.item():.4f}")
    return model.eval()


def main(out: Path):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    x, y = load()
    model = train(torch.from_numpy(x[:TRAINED_ON]), torch.from_numpy(y[:TRAINED_ON]))
    test_x, test_y = x[TRAINED_ON:], y[TRAINED_ON:]
    with torch.no_grad():
        right = (model(torch.from_numpy(test_x)).argmax(1).numpy() == test_y).mean()
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{weights} weights, {100 * right:.2f} % of {len(test_y)} test digits are right")
    out.mkdir(parents=True, exist_ok=True)
    # the newer exporter needs a further package
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.onnx.export(
        model, (torch.from_numpy(x[:1]),), str(out / "digits_cnn.onnx"), dynamo=False, opset_version=17,
        input_names=["input"], output_names=["scores"], dynamic_axes={"input": {0: "N"}, "scores": {0: "N"}},
    )
    np.savez_compressed(out / "digits_calib.npz", input=x[:CALIBRATED_ON])
    np.savez_compressed(out / "digits_test.npz", input=test_x, labels=test_y)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models")
