"""The package as others get it: the sdist builds a wheel, and the wheel works outside the checkout.

The core's packages are enough for it. Installed without a network, so what the extras bring is hidden instead of
absent; `make package` does it in a fresh environment.
"""
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from importlib.metadata import packages_distributions

import pytest
from conftest import ROOT, needed, plain

ini = ConfigParser(delimiters=["="])
ini.read(ROOT / "settings.ini")
SETTINGS = ini["DEFAULT"]
EXTRAS = {name: SETTINGS[f"{name}_requirements"].split()
    for name in ("text", "cluster", "tensorboard", "bench", "hub", "onnx", "lab", "docs", "dev")}
HIDE = """
import sys
from importlib.machinery import PathFinder

class Core(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {} else super().find_spec(name, path, target)

sys.meta_path = [Core if f is PathFinder else f for f in sys.meta_path]
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    "A folder with sdist and wheel, the wheel built from the sdist"
    copy, out = tmp_path_factory.mktemp("copy") / "gru-study", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(
        ".git", ".venv", "exp", "log", "_docs", "_proc", "build", "dist", "*.egg-info", "__pycache__"))
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory):
    "Run `gru-study` of the wheel in a folder of one's own"
    site, place = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("place")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
        "--target", site, *dist.glob("*.whl")], check=True)
    core = needed(SETTINGS["requirements"].split()) | {"gru-study"}
    hidden = {module for module, of in packages_distributions().items() if not {*map(plain, of)} & core}
    (site / "sitecustomize.py").write_text(HIDE.replace("{}", repr(hidden)))
    env = ({k: v for k, v in os.environ.items() if not k.startswith("GRU_STUDY")}
        | dict(PYTHONPATH=str(site), OMP_NUM_THREADS="1"))
    def run(*words, python=False):
        command = [sys.executable, *words] if python else [sys.executable, site / "bin/gru-study", *words]
        return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=600)
    run.site, run.place = site, place
    return run


def test_wheel_holds_what_it_needs(dist):
    (wheel,) = dist.glob("*.whl")
    files = {n: zipfile.ZipFile(wheel).read(n) for n in zipfile.ZipFile(wheel).namelist()}
    project = {p.relative_to(ROOT).as_posix()
        for pattern in ("nbs/[!i]*.ipynb", "nbs/experiments/[!.]*.*", "results/bench.json", "results/*/*.*")
        for p in ROOT.glob(pattern)}
    assert {n.removeprefix("gru_study/assets/project/") for n in files if "/project/" in n} == project
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "gru_study").rglob("*")
        if p.is_file() and "__pycache__" not in str(p)}
    assert ours <= set(files)
    assert not [n for n, content in files.items() if str(ROOT).encode() in content], "a path of this machine"
    facts = Parser().parsestr(files[f"gru_study-{SETTINGS['version']}.dist-info/METADATA"].decode())
    needs = facts.get_all("Requires-Dist")
    assert sorted(re.sub("[ ()]", "", n) for n in needs if "extra" not in n) == sorted(SETTINGS["requirements"].split())
    assert ("](docs/" not in facts.get_payload()
        and "](nbs/" not in facts.get_payload()), "relative addresses mean nothing outside the repository"
    assert set(facts.get_all("Provides-Extra")) == {*EXTRAS, "all"}
    assert facts["License-Expression"] == "MIT" and "Typing :: Typed" in facts.get_all("Classifier")


def test_sdist_is_whole(dist):
    "It holds all that make, notebooks and tests need"
    (sdist,) = dist.glob("*.tar.gz")
    names = {n.partition("/")[2] for n in tarfile.open(sdist).getnames()}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert {n for n in tracked if n and not n.startswith((".ci/", ".gitignore"))} <= names
    assert not [n for n in names if n.endswith(".pyc") or "checkpoints" in n]


def test_wheel_works_with_the_core_alone(installed):
    def ok(*words):
        done = installed(*words)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout
    code = ("import gru_study, importlib.util as u; "
        "print(gru_study.__file__, u.find_spec('torchtext'), u.find_spec('jupyterlab'))")
    where = installed("-c", code, python=True).stdout
    assert where == f"{installed.site}/gru_study/__init__.py None None\n"
    # nothing to compile
    few, exp = ["--train_subset", "9", "--epoch", "1", "--engine", "torch"], installed.place / "exp"
    assert f"in {exp}/music_lm/chorales/gru" in ok("train", "--data", "chorales", *few)
    ok("sweep", "music_lm", "--grid", "rnn=tanh,gru", "epoch=1", "train_subset=9", "engine=torch", "--under", "s")
    for rnn in ("tanh", "gru"): assert (exp / f"s/music_lm/chorales/{rnn}/music_lm.html").is_file()
    ok("search", "--trials", "2", "--seeds", "1", "--save_dir", "search", *few)
    ok("sample", "--out", "new.mid", "--steps", "8")
    ok("sample", "music_lm/chorales/gru", "--out", "new.wav", "--steps", "8")
    assert {p.name for p in installed.place.iterdir()} == {"exp", "log", "new.mid", "new.wav"}
    assert "JSB" in ok("report", "--recorded")


@pytest.mark.parametrize("words,extra", [
    (["train", "--task", "translate", "--save_dir", "x"], "text"),
    (["translate", "pretrained/captions_de_en/gru", "Ja"], "text"), (["lab"], "lab"),
    (["train", "--tensorboard", "--save_dir", "x"], "tensorboard"),
    (["export", "pretrained/chorales/gru", "x.onnx"], "onnx"),
    (["sweep", "music_lm", "--grid", "rnn=gru", "--scheduler", "tcp://127.0.0.1:1"], "cluster")])
def test_a_missing_extra_is_named(installed, words, extra):
    done = installed(*words)
    assert (done.returncode == 2 and f"extra \"{extra}\"" in done.stderr
        and len(done.stderr.strip().splitlines()) == 1), done.stderr
    assert "damaged" not in done.stderr and not (installed.place / "exp/x").exists()
