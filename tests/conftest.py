"Shared by all tests: where the real data is, a tiny data set, a way to run commands."
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DATA = os.environ.get("GRU_STUDY_DATA")
NO_DATA = "GRU_STUDY_DATA is not set: no real data files here"


def pytest_configure(config):
    config.addinivalue_line("markers", "real_data: needs the real data files in $GRU_STUDY_DATA")
    if DATA and not Path(DATA, "music").is_dir():
        pytest.exit(f"GRU_STUDY_DATA: {Path(DATA, 'music')} does not exist", returncode=2)


def pytest_runtest_setup(item):
    if item.get_closest_marker("real_data") and not DATA:
        pytest.skip(NO_DATA)


def pytest_collection_modifyitems(items):
    real_tests.update(i.nodeid for i in items if i.get_closest_marker("real_data"))


def pytest_terminal_summary(terminalreporter):
    passed = [r for r in terminalreporter.stats.get("passed", []) if r.when == "call" and r.nodeid in real_tests]
    where = f"on the real files in {DATA}" if DATA else f"on real files ({NO_DATA})"
    terminalreporter.write_line(f"{len(passed)} of {len(real_tests)} tests ran {where}")


real_tests: set[str] = set()


@pytest.fixture
def home(tmp_path, monkeypatch):
    "A study home of its own"
    monkeypatch.setenv("GRU_STUDY_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def toy(tmp_path):
    "A small data set as .npz: random melodies with a rule, so that there is something to learn"
    from gru_study.base import write_file
    from gru_study.music import MusicData, to_npz

    rng = np.random.default_rng(0)
    def piece():
        steps = rng.choice([-2, 2], size=rng.integers(8, 30)).cumsum() % 24 + 30
        return np.eye(88, dtype=np.uint8)[steps]
    data = MusicData("toy", [piece() for _ in range(30)], [piece() for _ in range(6)], [piece() for _ in range(6)])
    return write_file(tmp_path / "toy.npz", to_npz(data))


def gru_study(*words, cwd=ROOT, **env):
    "Run the command in a process of its own"
    command = [sys.executable, "-c", "import sys; from gru_study.cli import main; sys.exit(main())", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=600)
