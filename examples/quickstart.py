#!/usr/bin/env python3
"""Makes the bundled model smaller and writes it: .venv/bin/python examples/quickstart.py [OUT.onnx]"""

import sys
import tempfile
from pathlib import Path

import niwaki

MODELS = Path(__file__).resolve().parent / "models"


def main(out: Path) -> None:
    model = niwaki.load(MODELS / "digits_cnn.onnx")
    print(model)
    small = niwaki.quantize(
        model,
        calibration=MODELS / "digits_calib.npz",
        evaluation=MODELS / "digits_test.npz",
        max_drop="3pt",
    )
    print(small.report)
    small.report.require_pass()
    saved = small.save(out, overwrite=True)
    print(f"wrote {saved.path.name}, {saved.bytes} bytes, sha256 {saved.sha256[:12]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "digits_cnn.int8.onnx")
