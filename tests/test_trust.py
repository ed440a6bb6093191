"Reading never runs code, and nothing damaged is used in silence."
import io
import json
import random
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, gru_study

CELL = """
import pathlib
pathlib.Path(__file__).with_suffix(".ran").touch()
from gru_study.cells import cell, linear, torch

@cell("state")
def mine(wx, h, U, b): return torch.tanh(wx + linear(h, U, b))
"""


def one_line(done, *words, code=2):
    assert done.returncode == code and len(done.stderr.strip().splitlines()) == 1, done.stderr
    for w in words: assert w in done.stderr, done.stderr


@pytest.fixture
def own_run(home, toy, tmp_path):
    "A run with a cell of somebody's own, whose file leaves a mark whenever it is run"
    file = tmp_path / "mine.py"
    file.write_text(CELL)
    done = gru_study("train", "--rnn", file, "--data", toy, "--epoch", 2, "--hidden", 6, "--save_dir", "own")
    assert done.returncode == 2  # a file is not yet a cell
    done = gru_study("train", "--rnn", f"{file}:mine", "--data", toy, "--epoch", 2, "--hidden", 6, "--save_dir", "own")
    assert done.returncode == 0, done.stderr
    assert gru_study("train", "--data", toy, "--epoch", 2, "--hidden", 6, "--save_dir", "ours").returncode == 0
    file.with_suffix(".ran").unlink()
    return file


def test_reading_a_run_runs_nothing(home, own_run, tmp_path):
    "report, record and the lab's list read it; commands that need its network say what they need"
    for words in (["report"], ["record", "--out", tmp_path / "tables"]):
        done = gru_study(*words)
        assert done.returncode == 0, done.stderr
    summary = (home / "exp/summary.html").read_text()
    assert "mine-6" in summary and "is code, and nobody has asked to run it" in summary
    code = ("from gru_study.compare import Compare, finished; print(finished('music_lm')); c = Compare(); "
        "c.controls['runs'].value = ('own', 'ours'); print(c.tables.value); c.open_piece(0)")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "'own'" in shown.stdout and "mine-6" in shown.stdout
    assert "is code, and nobody has asked" in shown.stderr.splitlines()[-1]
    for words in (["evaluate", "own"], ["sample", "own", "--out", tmp_path / "x.mid"]):
        one_line(gru_study(*words),
            f"rnn: {own_run}:mine is code, and nobody has asked to run it here; allowed: --trust {own_run}")
    assert not own_run.with_suffix(".ran").exists() and not (tmp_path / "x.mid").exists()


def test_what_is_trusted_runs(home, own_run, tmp_path):
    for words in (["evaluate", "own"], ["sample", "own", "--out", tmp_path / "x.mid"]):
        assert gru_study(*words, "--trust", own_run).returncode == 0
    assert own_run.with_suffix(".ran").exists()
    one_line(gru_study("evaluate", "own", "--trust", "no/such.py"), "trust: found 'no/such.py'")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(own_run, moved)
    one_line(gru_study("evaluate", "own"), "is code, and nobody has asked to run it")
    assert gru_study("evaluate", "own", "--trust", "mine.py", cwd=moved).returncode == 0
    assert gru_study("report").returncode == 0  # the others, and this one


def test_a_model_saved_whole(tmp_path):
    "torch.save keeps the name of its cell: who trusts the file gets the same model, all others get one sentence"
    file, there = tmp_path / "mine.py", tmp_path / "model.pt"
    file.write_text(CELL)
    save = f"""
import torch
from gru_study.cells import get_cell, trust
from gru_study.models import MusicLM
trust({str(file)!r})
cell = get_cell({f"{file}:mine"!r})
torch.manual_seed(1)
torch.save(MusicLM(cell, 3), {str(there)!r})
"""
    load = f"""
import sys, torch
from gru_study.cells import trust
for where in sys.argv[1:]: trust(where)
model = torch.load({str(there)!r}, weights_only=False)
torch.manual_seed(1)
again = type(model)(model.rnn.cell, 3)
assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))
"""
    python = lambda code, *words: subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, cwd=ROOT)
    assert not python(save).stderr
    file.with_suffix(".ran").unlink()
    last = python(load).stderr.strip().splitlines()[-1]
    assert last.endswith(f"BadInput: rnn: {file}:mine is code, and nobody has asked to run it here; "
        f"allowed: --trust {file}, or trust({str(file)!r}) in Python, once you know what is in it")
    assert not file.with_suffix(".ran").exists()
    assert not python(load, file).stderr and file.with_suffix(".ran").exists()


@pytest.mark.parametrize("rnn", ["{d}/evil.py:x", "evil:x", "os:system"])
def test_a_run_of_somebody_else(home, toy, tmp_path, rnn):
    "A run folder that names code, in config.json, in result.json and in its checkpoint"
    import torch
    from gru_study.folder import Run
    (tmp_path / "evil.py").write_text("import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()")
    assert gru_study("train", "--data", toy, "--epoch", 1, "--hidden", 4, "--save_dir", "a").returncode == 0
    run, named = Run("a"), rnn.format(d=tmp_path)
    config = run.read_json("config.json") | {"rnn": named}
    run.write_json("result.json", run.read_json("result.json") | {"config": config, "cell": named})
    run.write_json("config.json", config)
    state = torch.load(run.exp / "checkpoint.pt", weights_only=True)
    state["experiment"]["rnn"] = named
    torch.save(state, run.exp / "checkpoint.pt")
    run.write({"checkpoint.pt": None})
    train = ["train", "--save_dir", "a", "--data", toy, "--epoch", "1", "--hidden", "4"]
    reading = [["report"], ["record", "--out", "t"]]*("/" in rnn)
    for words in (["evaluate", "a"], ["sample", "a", "--out", "x.mid"], train, *reading):
        done = gru_study(*words, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
        assert "Traceback" not in done.stderr, done.stderr
        assert not (tmp_path / "evil.ran").exists()
        assert done.returncode == (0 if words in reading else 2), done.stderr


def read_all(run):
    "All that is in a run's files, as the package reads it"
    import torch
    from gru_study.runs import history
    from gru_study.composing import load_model
    found = dict(asked=run.asked().model_dump_json(), result=json.dumps(run.result), history=json.dumps(history(run)),
        weights=[w.tolist() for w in load_model(run).parameters()])
    checkpoint = torch.load(io.BytesIO(run.read("checkpoint.pt")), weights_only=True)
    return found | {"checkpoint": str(checkpoint["model"])}


def test_flipped_bits(home, toy):
    "Random flips in each file of a run: none goes unnoticed, each is told by the file's name (the soak does it longer)"
    from gru_study.base import BadInput
    from gru_study.folder import Run
    assert gru_study("train", "--data", toy, "--epoch", 2, "--hidden", 4, "--save_dir", "a").returncode == 0
    run, rng = Run("a"), random.Random(0)
    good = read_all(run)
    for name in ("config.json", "result.json", "metrics.csv", "model.safetensors", "checkpoint.pt", "digests.json"):
        path = run.path(name)
        whole = path.read_bytes()
        for _ in range(20):
            at, bit = rng.randrange(len(whole)), 1 << rng.randrange(8)
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1:])
            try: assert read_all(run) == good, (name, at, bit)
            except BadInput as e: assert f"{name}: damaged" in str(e), e
        path.write_bytes(whole)


def test_damage_does_not_take_the_others_down(home, toy):
    flags = lambda name: ["--epoch", 2, "--hidden", 4, "--lr", f"0.00{ord(name) - 95}", "--save_dir", name]
    for name in "abc": assert gru_study("train", "--data", toy, *flags(name)).returncode == 0
    for name, file in (("a", "exp/a/result.json"), ("b", "log/b/metrics.csv")):
        path = home / file
        path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    for words in (["report"], ["record", "--out", home / "tables"]):
        done = gru_study(*words)
        assert done.returncode == 0, done.stderr
        said = done.stderr.splitlines()
        sentence = ("damaged, its content is not what was written; "
            "delete it, and the command that made the run makes it anew")
        assert len(said) == 2, said
        assert all(s.startswith("gru-study: left out: ") and sentence in s for s in said), said
    assert "left out: " in (home / "exp/summary.html").read_text()
    assert (home / "tables/runs.csv").read_text().count("\n") == 2
    # and the advice holds
    (home / "exp/a/result.json").unlink()
    for name in "ab": assert gru_study("train", "--data", toy, *flags(name)).returncode == 0
    done = gru_study("record", "--out", home / "tables")
    assert done.stderr == "" and (home / "tables/runs.csv").read_text().count("\n") == 4


def test_equal_trainings_give_equal_files(home, toy):
    for folder in ("a", "deep/er/b"):
        assert gru_study("train", "--data", toy, "--epoch", 3, "--hidden", 4, "--save_dir", folder).returncode == 0
    assert (home / "exp/a/model.safetensors").read_bytes() == (home / "exp/deep/er/b/model.safetensors").read_bytes()


@pytest.mark.parametrize("folder", ["a?b", "a#b", "a%41 ä{x}b"])
def test_one_search_one_database(home, toy, folder):
    "Characters that cut or change an address: two searches beside each other have a record each"
    words = ["--data", toy, "--epoch", 2, "--trials", 1, "--seeds", 1]
    for hidden, name in ((4, f"s/{folder}"), (3, f"s/{folder.replace('b', 'c')}")):
        done = gru_study("search", *words, "--hidden", hidden, "--save_dir", name)
        assert done.returncode == 0 and f"gru-{hidden}" in done.stdout, done.stderr
        assert (home / "exp" / name / "search.db").is_file()
        assert json.loads((home / "exp" / name / "search_result.json").read_text())["units"] == hidden
    assert {p.name for p in (home / "exp/s").iterdir()} == {folder, folder.replace("b", "c")}


def test_what_can_be_known_at_the_start(home, toy):
    "A log that is a file, a folder that cannot be written: said before anything is trained"
    (home / "log").write_text("a file")
    one_line(gru_study("train", "--data", toy, "--epoch", 2, "--hidden", 4), "save_dir: found", "log is a file")
    one_line(gru_study("search", "--data", toy, "--epoch", 2, "--hidden", 4), "save_dir: found", "log is a file")
    assert [p.name for p in home.iterdir()] == ["log"]
    for words in (["data", "chorales", "--out", home / "log/x.npz"], ["bench", "--out", home / "log/x.json"],
            ["record", "--out", home / "log/t"]):
        one_line(gru_study(*words), "out: found", "log is a file")


def test_a_precision_the_processor_has_not(home, toy):
    "Without AVX-512 torch has no LSTM in bfloat16: refused in one sentence, or trained where it has one"
    few = dict(ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2")
    done = gru_study("train", "--data", toy, "--epoch", 1, "--hidden", 4, "--rnn", "lstm",
        "--precision", "bf16", "--engine", "torch", **few)
    one_line(done, "precision: found 'bf16', allowed: float32, because torch cannot compute LSTM in bf16 on this cpu (")
    assert not any(home.rglob("*"))
    assert gru_study("train", "--data", toy, "--epoch", 1, "--hidden", 4, "--rnn", "lstm", **few).returncode == 0


def test_a_watch_that_a_run_brings_along_is_not_called(home, toy, tmp_path):
    "A person names it; what a specification says of it is dropped"
    from gru_study.folder import Run
    asked = "train", "--data", toy, "--hidden", 4, "--save_dir", "theirs"
    assert gru_study(*asked, "--epoch", 1).returncode == 0
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(row): pass\n")
    run = Run("theirs")
    for name, path in (("config.json", ()), ("result.json", ("config",))):
        told = run.read_json(name)
        where = told[path[0]] if path else told
        where["watch"] = f"{tmp_path / 'evil.py'}:f"
        run.write_json(name, told)
    for words in (("evaluate", "theirs"), ("report",), (*asked, "--epoch", 2, "-c")):
        done = gru_study(*words)
        assert done.returncode == 0 and not (tmp_path / "ran").exists(), done.stderr
    assert "watch" not in run.read_json("config.json")
    done = gru_study(*asked, "--epoch", 3, "-c", "--watch", f"{tmp_path / 'evil.py'}:g")
    one_line(done, "evil.py has no g; allowed: module:function or file.py:function")
    done = gru_study(*asked, "--epoch", 3, "-c", "--watch", "no_such_module:f")
    one_line(done, "watch: no_such_module:f cannot be had: ModuleNotFoundError")
    one_line(gru_study(*asked, "--epoch", 3, "-c", "--watch", "f"), "allowed: module:function or file.py:function")
