"Runs made by the version before the tasks were objects are read, finished, extended and scored as they were."
import json
import zipfile

import pytest
from conftest import ROOT, gru_study

RUNS = ("music", "torch", "text")


@pytest.fixture
def earlier(home):
    with zipfile.ZipFile(ROOT / "tests/earlier.zip") as runs: runs.extractall(home)
    return home


def result(home, name): return json.loads((home / f"exp/{name}/result.json").read_text())


def asked(home, name):
    "The flags that made a run"
    config = json.loads((home / f"exp/{name}/config.json").read_text())
    flags = [(f"--{k}", v) for k, v in config.items() if v is not None and not isinstance(v, bool)]
    return [str(word) for flag in flags for word in flag]


@pytest.mark.parametrize("name", RUNS)
def test_a_finished_run_is_finished(earlier, name):
    before = {p: p.read_bytes() for p in (earlier / "exp" / name).iterdir() if p.is_file()}
    done = gru_study("train", *asked(earlier, name))
    assert done.returncode == 0, done.stderr
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("name", RUNS)
def test_it_goes_on(earlier, name):
    "One epoch more, from the checkpoint; the rows of the first two stay"
    rows = (earlier / f"log/{name}/metrics.csv").read_text()
    done = gru_study("train", *asked(earlier, name), "--epoch", 3, "-c")
    assert done.returncode == 0, done.stderr
    assert (earlier / f"log/{name}/metrics.csv").read_text().startswith(rows)
    assert result(earlier, name)["epochs"] == 3


@pytest.mark.parametrize("name", RUNS)
def test_its_scores_are_those_of_its_weights(earlier, name):
    done = gru_study("evaluate", name)
    assert done.returncode == 0, done.stderr
    for split in ("valid", "test"):
        (line,) = [x.split() for x in done.stdout.splitlines() if x.split()[0] == split]
        scores = dict(zip(line[1::2], map(float, line[2::2])))
        assert scores["nll"] == pytest.approx(result(earlier, name)[split]["nll"], abs=2e-3)


def test_a_search_goes_on(earlier):
    trials = json.loads((earlier / "exp/search/search_result.json").read_text())["trials"]
    done = gru_study("search", *asked_search(earlier), "--trials", 3, "-c")
    assert done.returncode == 0, done.stderr
    now = json.loads((earlier / "exp/search/search_result.json").read_text())["trials"]
    assert now[:2] == trials and len(now) == 3


def asked_search(home):
    config = json.loads((home / "exp/search/search.json").read_text())
    return [str(word) for k, v in config.items() if v is not None and k != "trials" for word in (f"--{k}", v)]


def test_reports_tell_of_them(earlier):
    done = gru_study("report")
    assert done.returncode == 0 and "gru-3" in done.stdout and "lstm_paper-2" in done.stdout, done.stderr
