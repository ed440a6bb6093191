"""Every command that README and the site's pages show: run as written or with a reduction listed here.

What cannot be run here is listed with its reason and at least parsed.
"""
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import DATA, ROOT
from scipy.io import wavfile

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "nbs/docs").glob("*.ipynb"))]
MUSIC = dict(epoch=1, train_subset=9)
TEXT = dict(epoch=1, train_subset=60, valid_subset=20, hidden=8, emb=8, beam=1)
SMALLER = { # by how a command begins, the longest counts: values that replace those shown, or are added
    "gru-study train": MUSIC,
    "gru-study train --task translate": TEXT,
    "gru-study train --task speech": dict(epoch=1, train_subset=9, hidden=8),
    "gru-study search": MUSIC | dict(trials=2, seeds=1),
    "gru-study sweep music_lm": MUSIC | dict(rnn="tanh", lr=0.001),
    "gru-study sweep music_lm --grid rnn=gru,ugrnn.py:ugrnn": MUSIC | dict(rnn="ugrnn.py:ugrnn"),
    "gru-study sweep translate": TEXT | dict(rnn="gru", attention="general"),
    "papermill nbs/experiments/speech_lm.ipynb": dict(epoch=1, train_subset=9, hidden=8),
    "gru-study sample": dict(steps=8),
}
ELSEWHERE = { # run by another test, which is named; parsed here
    "papermill nbs/experiments/music_lm.ipynb": "test_notebooks.py::test_bare_papermill",
    "papermill nbs/experiments/protocol.ipynb": "test_notebooks.py::test_protocol_notebook",
    "papermill nbs/experiments/translate.ipynb": "test_notebooks.py::test_translation_notebooks",
    "python3 -m train --task music_lm": "test_commands.py::test_the_original_command",
    "python3 -m train --task translate": "test_translation.py::test_the_original_command_trains",
    "gru-study fetch": "test_download.py::test_",
    "dask": "test_sweep.py::dask",
    "gru-study sweep music_lm --grid rnn=tanh,lstm,gru epoch=60 --scheduler": "test_sweep.py::test_dask_cluster",
    "gru-study sweep protocol": "test_notebooks.py::test_protocol_notebook",
    "gru-study lab": "test_lab.py::lab",
}
FILES = {"JSB", "MuseData", "Nottingham", "Piano-midi"} # in $GRU_STUDY_DATA
ONLY_PARSED = { # hours of work, or all of this test suite
    "make setup": "runs before this", "make lab": "is gru-study lab",
    "make export": "tests/in_step.py does it on a copy", "python3.11 -m venv": "make package does it",
    "~/gru/bin/pip install": "make package does it", "nbdev_test": "make test runs it on all", "pytest": "runs this",
    "make study": "CI and the first lines of README", "make test": "runs this", "make soak": "hours",
    "make audit": "asks the network", "make table2": "hours", "make multi30k": "hours",
    "make speech": "hours",
}


def prose(page: Path) -> str:
    if page.suffix == ".md": return page.read_text()
    return "\n\n".join(c.source for c in nbformat.read(page, 4).cells if c.cell_type == "markdown") + "\n"


def shown(page: Path) -> list[str]:
    "The commands of a page's sh blocks"
    return [line for block in re.findall(r"^```sh\n(.*?)^```", prose(page), re.M | re.S)
        for line in block.splitlines() if line.strip()]


def listed(command: str, where: dict):
    "What is listed for a command"
    return next((where[start] for start in sorted(where, key=len, reverse=True) if command.startswith(start)), None)


def smaller(command: str) -> list[str]:
    "The words of a command with the values listed for it: as flags, as papermill's -p, or in a grid"
    values, words = listed(command, SMALLER) or {}, shlex.split(command)
    if words[0] == "papermill":
        return words + [w for k, v in values.items() for w in ("-p", k, str(v))] + ["--no-progress-bar"]
    if words[1] == "sweep":
        words = [w for w in words if w.split("=")[0] not in values]
        at = words.index("--grid") + 1
        return words[:at] + [f"{k}={v}" for k, v in values.items()] + words[at:]
    for k, v in values.items():
        if (flag := f"--{k}") in words: words[words.index(flag) + 1] = str(v)
        else: words += [flag, str(v)]
    return words


def parse(words: list[str]) -> None:
    "Fails where the program would not understand the command"
    from gru_study.cli import GruStudy, join_grid
    from gru_study.notebooks import notebook_parameters
    if words[:3] == ["python3", "-m", "train"]: words = ["gru-study", *words[2:]]
    match words:
        case ["gru-study", *rest]: GruStudy(_cli_parse_args=join_grid(rest), _cli_exit_on_error=False)
        case ["make", *rest]:
            assert subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True).returncode == 0
        case ["nbdev_test", "--path", file] | ["pytest", file]: assert (ROOT / file).is_file()
        case ["python3.11", "-m", "venv", _]: pass
        case ["~/gru/bin/pip", "install", "--constraint", lock, what]:
            assert (ROOT / lock).is_file()
            assert set(re.findall(r"\w+", what)) <= {"text", "lab", "cluster", "docs", "dev"}
        case ["papermill", notebook, _, *rest]:
            given = {name for flag, name in zip(rest, rest[1:]) if flag == "-p"}
            assert given <= set(notebook_parameters(ROOT / notebook))
        case ["dask", "scheduler" | "worker" as what, *rest]:
            from importlib import import_module
            import_module(f"distributed.cli.dask_{what}").main.make_context(what, rest)
        case _: pytest.fail(f"no way to parse {shlex.join(words)}")


@pytest.fixture
def place(tmp_path, home, monkeypatch):
    "A folder with all that the pages speak of: the notebooks, MIDI files, two texts, a cell"
    from gru_study.midi import write_midi
    (tmp_path / "nbs").symlink_to(ROOT / "nbs")
    (tmp_path / "my_music").mkdir()
    for i in range(40):
        write_midi(np.eye(88, dtype=np.uint8)[np.arange(12) + 30 + i % 9], tmp_path / f"my_music/{i}.mid")
    (tmp_path / "my_sounds").mkdir()
    for i in range(8):
        sound = np.random.default_rng(i).normal(0, 3000, 2000).astype(np.int16)
        wavfile.write(tmp_path / f"my_sounds/{i}.wav", 8000, sound)
    lists = pickle.dumps({s: [[[60, 64, 67], [62]] * 9] * 3 for s in ("train", "valid", "test")})
    for name in ("JSB Chorales.pickle", "Nottingham.pickle"): (tmp_path / name).write_bytes(lists)
    words = ("Hund Katze Vogel Mann Kind".split(), "schläft liest wartet singt lacht".split(),
        "hier heute jetzt allein lange".split())
    lines = [f"{a} {b} {c} ." for a in words[0] for b in words[1] for c in words[2]]
    for name in ("talks.de", "talks.en"): (tmp_path / name).write_text("\n".join(lines) + "\n")
    (tmp_path / "new.de").write_text("Hund liest hier.\n\nKind singt.\n")
    (cell,) = re.findall(r"```python\n(from gru_study.cells import.*?)```", (ROOT / "README.md").read_text(), re.S)
    (tmp_path / "ugrnn.py").write_text(cell)
    monkeypatch.chdir(tmp_path)
    # tables are printed; the pages' notebooks run in test_browser.py, test_notebooks.py and test_docs.py
    monkeypatch.setattr("gru_study.report.execute", lambda *a, **k: None)
    return tmp_path


def test_commands(place):
    "All pages in one study, in their order; a command that several pages show is run once"
    from gru_study.cli import main
    for command in dict.fromkeys(c for page in PAGES for c in shown(page)):
        words = smaller(command)
        if listed(command, ONLY_PARSED) or listed(command, ELSEWHERE) or (not DATA and FILES & {*words}):
            print("parsed ", command)
            parse(shlex.split(command))
            continue
        print("running", shlex.join(words), flush=True)
        if words[0] == "gru-study": code = main(words[1:])
        else:
            code = subprocess.run(
                [str(Path(sys.executable).with_name(words[0])), *words[1:]], capture_output=True).returncode
        assert code == 0, command


def test_commands_named_in_prose():
    "Every `make x` and `gru-study x` in the text of a page is there"
    from gru_study.cli import GruStudy
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.M)
    for page in PAGES:
        for program, name in re.findall(r"`(make|gru-study) ([a-z0-9_]+)", prose(page)):
            assert name in (targets if program == "make" else GruStudy.model_fields), f"{page.name}: {program} {name}"


def test_each_list_is_true():
    "No entry without a command, no named test that is not there; a cell of one's own has the same code everywhere"
    commands = [c for p in PAGES for c in shown(p)]
    for start in [*SMALLER, *ELSEWHERE, *ONLY_PARSED]: assert any(c.startswith(start) for c in commands), start
    for test in ELSEWHERE.values():
        file, name = test.split("::")
        assert f"def {name}" in (ROOT / "tests" / file).read_text(), test
    (ours,) = re.findall(r"```python\n(from gru_study.cells import.*?)```", (ROOT / "README.md").read_text(), re.S)
    pages = "\n".join(c.source for c in nbformat.read(ROOT / "nbs/docs/bring_cell.ipynb", 4).cells)
    assert pages.count(ours.strip()) == 2
