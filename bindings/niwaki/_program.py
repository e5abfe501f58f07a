"""The `niwaki` program of a pip installation: the binary lies in the package."""

import os
import sys
from pathlib import Path


def main() -> None:
    program = Path(__file__).with_name("niwaki")
    # argv[0] stays: the interpreter beside it runs ONNX Runtime
    os.execv(program, sys.argv)
