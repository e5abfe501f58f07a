"""Makes the built package importable, wherever pytest is started from."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NIWAKI_BUILD", ROOT / "build" / "release"))
sys.path.insert(0, str(BUILD / "python"))


@pytest.fixture
def examples() -> pathlib.Path:
    return ROOT / "examples" / "models"


@pytest.fixture(scope="session")
def niwaki():
    package = pytest.importorskip("niwaki")
    if not list((BUILD / "python" / "niwaki").glob("_core*.so")):
        pytest.skip("the Python module is not built: scripts/build.sh release niwaki_python")
    return package


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Real models and data; tests that want them are skipped where they are not."""
    folder = os.environ.get("NIWAKI_SHARED_DATA")
    if not folder:
        pytest.skip("NIWAKI_SHARED_DATA is not set")
    return pathlib.Path(folder)
