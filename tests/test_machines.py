"Machines as people have them: no compiler, no cache, full disks, homes of nobody, paths that are no text."
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, gru_study
from test_commands import one_line

TRAIN = ("train", "--epoch", 1, "--hidden", 3)
NO_TEXT = os.fsdecode(b"\xff")


def said(done): return [line for line in done.stderr.splitlines() if line and "epoch/s" not in line]


def test_without_a_compiler_torch_trains(home, toy):
    done = gru_study(*TRAIN, "--data", toy, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0
    assert said(done) == ["torch trains, since NUMBA_DISABLE_JIT is set, so nothing is compiled"]
    one_line(gru_study(*TRAIN, "--data", toy, "--engine", "fused", "--save_dir", "x", NUMBA_DISABLE_JIT="1"),
        "engine: found 'fused', allowed: torch or auto, because NUMBA_DISABLE_JIT is set")


@pytest.fixture
def sealed(tmp_path):
    "The package where nothing can be kept: a file in the place of __pycache__, and nobody's home"
    shutil.copytree(ROOT / "gru_study", tmp_path / "site/gru_study", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "site/gru_study/__pycache__").write_text("")
    env = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "GRU_STUDY_HOME")}
    env |= dict(HOME="/dev/null/x", PYTHONPATH=str(tmp_path / "site"), PYTHONDONTWRITEBYTECODE="1")
    return lambda *words: subprocess.run([sys.executable, "-m", "gru_study", *map(str, words)], cwd=tmp_path, env=env,
        capture_output=True, text=True, timeout=600)


def test_where_nothing_can_be_kept(sealed, toy, tmp_path):
    done = sealed(*TRAIN, "--data", toy)
    assert done.returncode == 0, done.stderr
    (line,) = said(done)
    assert "compiling the kernels and the cell gru, each time anew, since no folder for it can be written" in line
    sample, translate = "sample pretrained/chorales/gru --out x.mid", "translate pretrained/captions_de_en/gru Hund"
    for words in (sample, translate):
        done = sealed(*words.split())
        assert done.returncode == 0 and "Traceback" not in done.stderr and "compiling" not in done.stderr, done.stderr
    assert (tmp_path / "x.mid").is_file() and not (tmp_path / "~").exists()


@pytest.mark.parametrize("engine", ["fused", "torch"])
@pytest.mark.parametrize("flags", ["--lr 1e308", "--wd 1e300 --optim adamw", "--weight_noise 1e300", "--clip 1e308"])
def test_numbers_beyond_float32(home, toy, engine, flags):
    done = gru_study(*TRAIN, "--data", toy, "--engine", engine, *flags.split())
    assert all(line.startswith(("gru-study: training diverged", "compiling")) for line in said(done)), done.stderr


@pytest.mark.parametrize("variable, data", [("GRU_STUDY_HOME", "chorales"), ("GRU_STUDY_DATA", "JSB")])
@pytest.mark.parametrize("path, reason", [
    ("~nosuchuser/x", "a path that leads somewhere"), (f"/tmp/{NO_TEXT}", "a path in UTF-8")])
def test_places_that_lead_nowhere(home, variable, data, path, reason):
    done = gru_study(*TRAIN, "--data", data, **{variable: path})
    one_line(done, f"{variable}: found ")
    one_line(done, reason)


def test_a_home_that_is_no_text(toy, tmp_path):
    "Refused before anything is trained"
    (place := tmp_path / NO_TEXT).mkdir()
    env = {k: v for k, v in os.environ.items() if k != "GRU_STUDY_HOME"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gru_study", *map(str, TRAIN), "--data", str(toy)]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)
    one_line(done, "current folder: found")
    assert not list(place.iterdir())


@pytest.mark.parametrize("words", [("train", "--data", f"{NO_TEXT}.npz"), ("train", "--rnn", f"{NO_TEXT}.py:x"),
    ("train", "--save_dir", NO_TEXT), ("data", NO_TEXT)])
def test_arguments_that_are_no_text(home, words):
    one_line(gru_study(*words), "found")


def test_links_in_a_circle(home, toy):
    (home / "exp").mkdir()
    (home / "exp/a").symlink_to("b")
    (home / "exp/b").symlink_to("a")
    one_line(gru_study(*TRAIN, "--data", toy, "--save_dir", "a/x"), "a")
    one_line(gru_study("evaluate", "a"), "a")


@pytest.mark.parametrize("words, file", [
    (("train", "--data", "{toy}", "--hidden", 60, "--epoch", 1), "checkpoint.pt"),
    (("sample", "pretrained/chorales/gru", "--out", "{home}/x.wav"), "x.wav"),
    (("data", "chorales", "--out", "{home}/x.npz"), "x.npz"),
    (("search", "--data", "{toy}", "--hidden", 60, "--trials", 2, "--seeds", 1, "--epoch", 1), "search.db")])
def test_a_file_that_cannot_be_written_whole(home, toy, words, file):
    "As on a full disk: the file is named, and nothing is half-written"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    words = [str(w).format(toy=toy, home=home) for w in words]
    command = [sys.executable, "-m", "gru_study", *words]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, cwd=ROOT)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"{file}: " in done.stderr.splitlines()[-1]
    assert not list(home.rglob("*.tmp")) and not (home / file).exists()


def test_the_version(home):
    from gru_study import __version__
    assert gru_study("--version").stdout == f"gru-study {__version__}\n"
    command, env = [sys.executable, "-m", "gru_study", "--version"], os.environ | {"PYTHONPATH": str(ROOT)}
    module = subprocess.run(command, capture_output=True, text=True, cwd=Path("/"), env=env)
    assert module.stdout == f"gru-study {__version__}\n"


def test_what_is_loaded_for_scores():
    "scipy.stats takes a second, and only intervals need it"
    code = "import sys, gru_study.density, gru_study.significance; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not {"scipy.stats", "music21", "papermill", "tensorboard"} & {*done.stdout.split()}
