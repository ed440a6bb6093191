"A run that is given to somebody: one file, on another machine the same run; what is in it is never run by being read."
import json
import shutil

import numpy as np
import pytest
from conftest import gru_study
from safetensors.numpy import load, save
from test_trust import CELL, one_line

from gru_study.files import digest


@pytest.fixture
def given(home, toy, tmp_path):
    "A run with a cell of its own, exported; then its folder, and its cell's file, are gone"
    file, out = tmp_path / "mine.py", tmp_path / "from a friend.safetensors"
    file.write_text(CELL)
    asked = "--data", toy, "--epoch", 2, "--hidden", 6
    done = gru_study("train", "--rnn", f"{file}:mine", *asked, "--save_dir", "own")
    assert done.returncode == 0, done.stderr
    done = gru_study("export", "own", out)
    assert done.returncode == 0 and f"it holds the source of {file}" in done.stdout, done.stderr
    before = gru_study("evaluate", "own", "--trust", file).stdout
    shutil.rmtree(home)
    for old in (file, file.with_suffix(".ran")): old.unlink()
    return out, before


def test_it_comes_back_and_runs_nothing(home, given, tmp_path):
    out, before = given
    done = gru_study("evaluate", out)
    (cell,) = (home / "exp/given").glob("*/mine.py")
    one_line(done, f"rnn: {cell}:mine is code, and nobody has asked to run it here; allowed: --trust {cell}")
    assert cell.read_text() == CELL and not cell.with_suffix(".ran").exists()
    done = gru_study("evaluate", out, "--trust", cell)
    assert (done.returncode, done.stdout) == (0, before) and cell.with_suffix(".ran").exists()
    assert gru_study("sample", out, "--out", tmp_path / "x.mid", "--trust", cell).returncode == 0
    assert len([*(home / "exp/given").iterdir()]) == 1
    assert gru_study("evaluate", cell.parent, "--trust", cell).stdout == before
    assert "mine-6" in gru_study("report").stdout


def packed(out, change):
    "The file with something in it changed, its digests made anew by somebody who knows how"
    data = out.read_bytes()
    content = json.loads(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["gru_study"])
    del content["digest"]
    tensors = load(data)
    change(content, tensors)
    content["weights"] = digest(save(tensors))
    content["digest"] = digest(json.dumps(content).encode())
    out.write_bytes(save(tensors, {"gru_study": json.dumps(content)}))


def in_files(name, change):
    "Change a JSON file of the run"
    def changed(content, _):
        told = json.loads(content["files"][name])
        change(told)
        content["files"][name] = json.dumps(told)
    return changed


HOSTILE = {
    "a path that leads out": (lambda c, t: c["files"].update({"../../../evil.py": "x"}),
        "holds other files than a run has"),
    "another file": (lambda c, t: c["files"].update({"evil.py": "x"}), "holds other files than a run has"),
    "no specification": (lambda c, t: c["files"].pop("config.json"), "holds other files than a run has"),
    "texts that are none": (lambda c, t: c["files"].update({"metrics.csv": 3}), "damaged"),
    "files that are a list": (lambda c, t: c.update(files=["config.json"]), "damaged"),
    "a cell without a source": (lambda c, t: c.update(cell={"file": 1}), "damaged"),
    "scores that are words": (in_files("result.json", lambda r: r["test"].update(nll="good")), "result.json: damaged"),
    "a result that is a list": (lambda c, t: c["files"].update({"result.json": "[]"}), "damaged"),
    "a result without config": (in_files("result.json", lambda r: r.pop("config")), "it has no config"),
    "a cell with more": (lambda c, t: c["cell"].update(more="x"), "damaged"),
    "half a character": (lambda c, t: c["files"].update({"metrics.csv": "\ud800"}), "damaged"),
    "nested deeply": (lambda c, t: c["files"].update({"config.json": "[" * 100_000}), "damaged"),
    "another task": (in_files("config.json", lambda c: c.update(task="os:system")), "config.json: "),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(home, given, case):
    "One sentence, and nothing is left of it"
    change, sentence = HOSTILE[case]
    packed(given[0], change)
    one_line(gru_study("evaluate", given[0]), sentence)
    left = [p for p in home.rglob("*") if p.is_file()] if home.exists() else []
    assert left == [] and not (home.parent / "evil.py").exists()


def test_weights_of_another_shape(home, given):
    packed(given[0], lambda c, t: t.update({"readout.bias": np.zeros(3, np.float32)}))
    cell = home / "exp/given"
    assert gru_study("evaluate", given[0]).returncode == 2
    done = gru_study("evaluate", given[0], "--trust", *cell.glob("*/mine.py"))
    one_line(done, "model.safetensors: damaged or of another network")


def test_what_export_refuses(home, toy, tmp_path):
    one_line(gru_study("export", "nothing"), "run: found 'nothing'")
    one_line(gru_study("export", "pretrained/chorales/gru", tmp_path / "x.pt"), "that ends with .safetensors")
    one_line(gru_study("export", "pretrained/chorales/gru", tmp_path / "no/such/x.safetensors"), "out: found")
    out = tmp_path / "x.safetensors"
    assert gru_study("export", "pretrained/captions_de_en/gru", out).returncode == 0
    one_line(gru_study("export", "pretrained/chorales/gru", out), "a new file")
    done = gru_study("translate", out, "Eine Katze jagt neben dem Haus einen blauen Stock.")
    assert done.stdout.strip() == "A cat is chasing a blue stick next to the house."
