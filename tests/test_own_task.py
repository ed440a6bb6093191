"A task that an installed package brings: on the command line like ours; broken packages are named and harm nobody."
import csv
import json
import os

import nbformat
import pytest
from conftest import ROOT, gru_study

ENTRIES = """[gru_study.tasks]
sine = sines.task:SINE
lost = nowhere.task:TASK
music_lm = sines.task:SINE
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The task of the page that tells how to bring one, as a package beside the study"
    folder = tmp_path_factory.mktemp("site")
    page = nbformat.read(ROOT / "nbs/docs/bring_task.ipynb", as_version=4)
    cells = [c.source for c in page.cells if c.cell_type == "code"]
    last = next(k for k, source in enumerate(cells) if "TASKS[" in source)
    lines = "\n\n".join(cells[:last + 1]).replace("__main__:", "sines.task:").splitlines()
    told = ("TASKS[", "print(", "try:", "except")  # what the page shows and a module does not say
    (folder / "sines").mkdir()
    (folder / "sines/__init__.py").touch()
    (folder / "sines/task.py").write_text("\n".join(line for line in lines if not line.startswith(told)) + "\n")
    (folder / "sines-1.dist-info").mkdir()
    (folder / "sines-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: sines\nVersion: 1\n")
    (folder / "sines-1.dist-info/entry_points.txt").write_text(ENTRIES)
    return str(folder)


@pytest.fixture
def run(home, site):
    "The command where that package is installed"
    path = os.pathsep.join(filter(None, (site, os.environ.get("PYTHONPATH"))))
    return lambda *words: gru_study(*words, PYTHONPATH=path)


def test_it_is_trained_resumed_scored_and_compared(run, home):
    words = ("train", "--task", "sine", "--bs", 4, "--lr", 0.01, "--epochs")
    first, more = run(*words, 2), run(*words, 3, "-c")
    assert (first.returncode, more.returncode) == (0, 0), first.stderr + more.stderr
    result = json.loads((home / "exp/sine/waves/gru/result.json").read_text())
    assert result["epochs"] == 3 and result["provenance"]["engine"] == "fused"
    scored = run("evaluate", "sine/waves/gru")
    assert scored.returncode == 0 and f"{result['test']['nll']:.3f}" in scored.stdout, scored.stderr + scored.stdout
    searched = run("search", "--task", "sine", "--bs", 4, "--epochs", 1, "--trials", 2, "--seeds", 1,
        "--save_dir", "sine/search")
    assert searched.returncode == 0, searched.stderr
    assert run("data", "waves").stdout.startswith("waves: 100 waves")
    recorded = run("record", "--task", "sine", "--under", "sine", "--out", home / "recorded")
    assert recorded.returncode == 0, recorded.stderr
    with open(home / "recorded/runs.csv") as file: rows = {row["run"]: row for row in csv.DictReader(file)}
    assert float(rows["sine/waves/gru"]["test_nll"]) == pytest.approx(result["test"]["nll"], rel=1e-6)
    assert {"sine/search/lr-0", "sine/search/lr-1"} < rows.keys()
    report = run("report", "--task", "sine")  # the page has named a notebook that nobody has written
    assert report.returncode == 2 and "sines.ipynb" in report.stderr


def test_help_and_refusals_know_it(run):
    assert "sine" in run("train", "--help").stdout.split("--task")[2].split("--rnn")[0]
    wrong = run("train", "--task", "sine", "--beam", 5)
    assert wrong.returncode == 2 and "only with task translate, not with sine" in wrong.stderr


def test_a_package_that_cannot_be_imported(run):
    lost = run("train", "--task", "lost")
    assert lost.returncode == 2 and "Traceback" not in lost.stderr
    assert "task: lost is nowhere.task:TASK of a package of its own, and that cannot be imported" in lost.stderr


def test_our_names_stay_ours(run):
    done = run("train", "--epochs", 1, "--train_subset", 2, "--valid_subset", 2)
    assert done.returncode == 0 and "chorales" in done.stdout, done.stderr
