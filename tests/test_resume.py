"A run that is killed, at any moment, ends as if it had not been."
import csv
import hashlib
import json
import signal
import subprocess
import sys
import time

import pytest
from conftest import SOAK, gru_study, make_toy


def train(data, save_dir, *flags):
    return ["train", "--data", str(data), "--hidden", "12", "--weight_noise", "0.05", "--save_dir", save_dir,
        *map(str, flags)]


def start(*words, before=""):
    code = f"{before}\nimport sys; from gru_study.cli import main; sys.exit(main())"
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def weights(home, save_dir):
    "Hash of the best weights, and the exact history but for the time it took"
    with open(home / "log" / save_dir / "metrics.csv") as f:
        rows = [{k: v for k, v in r.items() if k != "seconds"} for r in csv.DictReader(f)]
    from safetensors.numpy import load_file
    stored = load_file(home / "exp" / save_dir / "model.safetensors")
    return {k: hashlib.sha256(v.tobytes()).hexdigest() for k, v in stored.items()}, rows


# In the child: die at the n-th call of a function of os, in the middle of a write, just before or just after a rename.
KILL = """
import os, signal
calls, real = 0, os.{name}
def dying(*args, **kw):
    global calls
    calls += 1
    if calls == {n} and {after}: real(*args, **kw)
    if calls == {n}: os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kw)
os.{name} = dying
# checkpoints after every epoch, not once a second, so that there are many writes to die in
import time
clock = iter(range(0, 10**6, 10))
time.monotonic = lambda: float(next(clock))
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    "The weights after eight epochs of a run that nobody has killed"
    home = tmp_path_factory.mktemp("undisturbed")
    done = gru_study(*train(make_toy(home), "calm", "--epoch", 8), GRU_STUDY_HOME=str(home))
    assert done.returncode == 0, done.stderr
    return weights(home, "calm")


@pytest.mark.parametrize("name,n,after", [
    ("fsync", 1, 0), ("fsync", 2, 0), ("fsync", 3, 0), ("fsync", 9, 1), ("replace", 2, 0), ("replace", 2, 1),
    ("replace", 3, 1), ("replace", 4, 1), ("replace", 10, 0), ("replace", 23, 1), ("replace", 24, 1),
    ("replace", 27, 1)])
def test_killed_inside_a_write(home, toy, undisturbed, name, n, after):
    died = start(*train(toy, "hurt", "--epoch", 8), before=KILL.format(name=name, n=n, after=after))
    assert died.wait() == -signal.SIGKILL
    assert not (home / "exp/hurt/result.json").exists()
    assert gru_study(*train(toy, "hurt", "--epoch", 8)).returncode == 0
    assert weights(home, "hurt") == undisturbed


def kill_after(rows, home, save_dir, *words):
    "Start a run, and kill it once metrics.csv has so many rows"
    process, metrics = start(*words), home / "log" / save_dir / "metrics.csv"
    while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") <= rows):
        time.sleep(0.01)
    time.sleep(0.05)
    process.kill()
    return process.wait() == -signal.SIGKILL


def test_killed_again_and_again(home, toy):
    assert gru_study(*train(toy, "calm", "--epoch", 2500)).returncode == 0
    for rows in (100, 500, 900, 1700, 2100):
        assert kill_after(rows, home, "hurt", *train(toy, "hurt", "--epoch", 2500))
    assert gru_study(*train(toy, "hurt", "--epoch", 2500)).returncode == 0
    assert weights(home, "hurt") == weights(home, "calm")
    assert (home / "exp/hurt/checkpoint-100.pt").is_file()


@SOAK
@pytest.mark.real_data
def test_killed_on_real_music(home):
    "JSB, GRU-46, killed three times, once in a checkpoint"
    jsb = ["train", "--data", "JSB", "--epoch", "150", "--weight_noise", "0.075"]
    assert gru_study(*jsb, "--save_dir", "calm").returncode == 0
    for rows in (20, 100):
        assert kill_after(rows, home, "hurt", *jsb, "--save_dir", "hurt")
    assert start(*jsb, "--save_dir", "hurt", before=KILL.format(name="replace", n=3, after=0)).wait() == -signal.SIGKILL
    assert gru_study(*jsb, "--save_dir", "hurt").returncode == 0
    assert weights(home, "hurt") == weights(home, "calm")


def test_rules_of_the_run_folder(home, toy):
    run = lambda *flags: gru_study(*train(toy, "a", *flags))
    assert run("--epoch", 3, "-c").returncode == 2  # nothing to continue
    assert not (home / "exp").exists()  # and nothing half-written
    assert run("--epoch", 3).returncode == 0
    before = (home / "exp/a/result.json").stat().st_mtime_ns
    assert run("--epoch", 3).returncode == 0  # finished: not run again
    assert (home / "exp/a/result.json").stat().st_mtime_ns == before
    for flags, field in (
            (("--epoch", 3, "--lr", 0.5), "lr"), (("--epoch", 5), "epoch"), (("--epoch", 2, "-c"), "epoch"),
            (("--epoch", 5, "-c", "--seed", 1), "seed")):
        refused = run(*flags)
        assert refused.returncode == 2 and f"gru-study: {field}: found" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert run("--epoch", 5, "-c").returncode == 0
    assert json.loads((home / "exp/a/result.json").read_text())["epochs"] == 5
    assert gru_study(*train(toy, "b", "--epoch", 5)).returncode == 0
    assert weights(home, "a") == weights(home, "b")
    assert run("--epoch", 2, "--lr", 0.5, "--overwrite").returncode == 0
    assert json.loads((home / "exp/a/result.json").read_text())["config"]["lr"] == 0.5


def test_damaged_checkpoint(home, toy):
    process = start(*train(toy, "a", "--epoch", 100_000))
    checkpoint = home / "exp/a/checkpoint.pt"
    while not checkpoint.exists(): time.sleep(0.1)
    process.kill()
    process.wait()
    for content in (b"", b"no zip", checkpoint.read_bytes()[:5000]):
        checkpoint.write_bytes(content)
        refused = gru_study(*train(toy, "a", "--epoch", 100_000))
        assert refused.returncode == 2 and "checkpoint.pt: damaged" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert checkpoint.read_bytes() == content


POISON = """
import sys
import gru_study.frames
from gru_study.cli import main
real = gru_study.frames.FusedEngine.train_epoch
def poisoned(self, epoch):
    if epoch == 4: self.vector[-1] = float("nan")
    return real(self, epoch)
gru_study.frames.FusedEngine.train_epoch = poisoned
sys.exit(main())
"""


def test_divergence_keeps_the_last_good_epoch(home, toy):
    "A run that is fine for three epochs, and then has a weight that is not a number"
    import torch
    done = subprocess.run(
        [sys.executable, "-c", POISON, *train(toy, "a", "--epoch", 6)], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == ("gru-study: training diverged in epoch 4, step 1: loss nan, "
        "gradient norm nan; the 3 epochs before it are kept")
    assert len(weights(home, "a")[1]) == 3
    assert torch.load(home / "exp/a/checkpoint.pt", weights_only=True)["model"]["readout.weight"].isfinite().all()
    assert not (home / "exp/a/result.json").exists()
    assert gru_study(*train(toy, "a", "--epoch", 6)).returncode == 0  # without the poison it can go on from there
    assert gru_study(*train(toy, "b", "--epoch", 6)).returncode == 0
    assert weights(home, "a") == weights(home, "b")


def test_killed_while_extended(home, toy):
    "An extension that is killed after its last checkpoint; until it is done the run does not count as finished"
    assert gru_study(*train(toy, "a", "--epoch", 3)).returncode == 0
    died = start(*train(toy, "a", "--epoch", 5, "-c"), before=KILL.format(name="replace", n=5, after=1))
    assert died.wait() == -signal.SIGKILL
    assert "no finished run" in gru_study("report", "--under", "a").stderr
    assert gru_study(*train(toy, "a", "--epoch", 5)).returncode == 0
    assert gru_study(*train(toy, "b", "--epoch", 5)).returncode == 0
    assert weights(home, "a") == weights(home, "b")
    results = [json.loads((home / f"exp/{run}/result.json").read_text()) for run in "ab"]
    assert results[0]["test"] == results[1]["test"] and results[0]["epochs"] == 5


def test_changed_data_is_noticed(home, toy):
    import numpy as np
    assert gru_study(*train(toy, "a", "--epoch", 3)).returncode == 0
    arrays = dict(np.load(toy))
    np.savez(toy, **arrays | {"train": arrays["train"][::-1]})
    refused = gru_study(*train(toy, "a", "--epoch", 5, "-c"))
    assert refused.returncode == 2 and "has changed since" in refused.stderr and len(refused.stderr.splitlines()) == 1


def test_two_processes_in_one_run(home, toy):
    first = start(*train(toy, "a", "--epoch", 100_000))
    while not (home / "exp/a/config.json").exists(): time.sleep(0.1)
    second = gru_study(*train(toy, "a", "--epoch", 100_000))
    first.kill()
    first.wait()
    assert second.returncode == 2 and "another process is training" in second.stderr
