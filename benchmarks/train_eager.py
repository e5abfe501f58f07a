"""Steps of training a ResNet-20 in eager PyTorch: the baseline of train_bench.cpp, same sizes, same batches.

usage: train_eager.py [--threads N] [--channels-last]
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn

BATCH, STEPS = 64, 8


class Block(nn.Module):
    def __init__(self, width, out, stride):
        super().__init__()
        self.first = nn.Conv2d(width, out, 3, stride, 1)
        self.second = nn.Conv2d(out, out, 3, 1, 1)
        self.stride, self.pad = stride, (out - width) // 2

    def forward(self, x):
        y = self.second(F.relu(self.first(x)))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(x + y)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        blocks, width = [], 16
        for out in (16, 32, 64):
            for _ in range(3):
                blocks.append(Block(width, out, 2 if out != width else 1))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model = ResNet20().to(memory_format=layout)
    images = torch.randn(BATCH * STEPS, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.arange(BATCH * STEPS) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        order = torch.randperm(BATCH * STEPS)
        for i in range(STEPS):
            chosen = order[i * BATCH:(i + 1) * BATCH]
            optimizer.zero_grad()
            F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        best = min(best, time.perf_counter() - start)
    print(f"torch {torch.__version__}, {args.threads} threads: {1e3 * best:.1f} ms for {STEPS} steps, {BATCH * STEPS / best:.0f} images/s")


if __name__ == "__main__":
    main()
