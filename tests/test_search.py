"A search that is killed, interrupted or extended ends as if it had been run at once; what diverges is a finding."
import json
import re
import signal
import subprocess
import sys
import time
from html import unescape

import pytest
from conftest import SOAK, gru_study
from test_commands import one_line
from test_resume import start


def words(toy, *flags, epoch=20):
    return ["search", "--data", str(toy), "--hidden", "8", "--epoch", str(epoch), "--workers", "2",
        "--save_dir", "s", *map(str, flags)]


def long(toy): return words(toy, "--trials", 4, "--seeds", 2, "--patience", 0, epoch=1500)


def last_line(stderr): return stderr.replace("\r", "\n").splitlines()[-1]


def facts(home):
    "search_result.json but for where the data lie, which differs from test to test"
    f = json.loads((home / "exp/s/search_result.json").read_text())
    del f["config"]["data"]
    return f


def stamps(home, *folders):
    "When each file of some runs was written"
    return {f: f.stat().st_mtime_ns for run in folders
        for f in sorted((home / "exp/s" / run).iterdir()) if f.name != ".lock"}


def ended(home): return sorted(f.parent.name for f in home.glob("exp/s/*/result.json"))


CALM = {}


@pytest.fixture
def calm(toy, tmp_path):
    "What `long` ends with when nothing disturbs it; searched once for the whole file"
    if not CALM:
        assert gru_study(*long(toy), GRU_STUDY_HOME=str(tmp_path / "calm")).returncode == 0
        CALM.update(facts(tmp_path / "calm"))
    return CALM


@pytest.mark.parametrize("moment", [
    pytest.param(lambda home: any(home.glob("log/s/*/metrics.csv")), id="first trial", marks=SOAK),
    pytest.param(lambda home: len(ended(home)) >= 2, id="middle"),
    pytest.param(lambda home: any(home.glob("log/s/*-seed-*/metrics.csv")), id="seeds", marks=SOAK)])
def test_killed_search(home, toy, calm, moment):
    "Killed at any moment, the same command trains what is missing only, and ends with the same numbers"
    process = start(*long(toy))
    while process.poll() is None and not moment(home): time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = stamps(home, *ended(home))
    assert gru_study(*long(toy)).returncode == 0
    assert before.items() <= stamps(home, *ended(home)).items()
    assert facts(home) == calm


HANDLER = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)" # what starts us may ignore it
MAIN = f"{HANDLER}\nimport sys; from gru_study.cli import main; sys.exit(main())"


def test_interrupted(home, toy, calm):
    "Ctrl-C ends a search within an epoch and with one line; the same command goes on"
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *long(toy)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while process.poll() is None and not any(home.glob("log/s/*/metrics.csv")): time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in stderr
    assert last_line(stderr) == ("gru-study: interrupted; "
        "without --overwrite, the same command goes on from the last checkpoint")
    assert not ended(home)  # it did not wait for its runs
    assert gru_study(*long(toy)).returncode == 0
    assert facts(home) == calm


def test_a_diverging_rate_is_a_finding(home, toy):
    "Rates up to e^85 without clipping, weight decay: recorded as diverged, and the best of the others is taken"
    sgd = ["--optim", "sgd", "--clip", 0, "--wd", 1, "--trials", 4, "--seeds", 1, "--ln_lr_max", 85]
    done = gru_study(*words(toy, *sgd, "--ln_lr_min", -4))
    assert done.returncode == 0, done.stderr
    f = facts(home)
    diverged, finished = ([t for t in f["trials"] if t["state"] == state] for state in ("diverged", "finished"))
    assert diverged and finished and len(diverged) + len(finished) == 4
    assert min(t["lr"] for t in diverged) > max(t["lr"] for t in finished)
    assert all(re.match(r"training diverged in epoch \d+, step \d+: ", t["message"]) and t["valid_nll"] is None
        for t in diverged)
    assert (best := min(finished, key=lambda t: t["valid_nll"]))["lr"] == f["lr"]
    assert [(s["run"], s["lr"], s["state"]) for s in f["seeds"]] == [(f"{best['run']}-seed-1", f["lr"], "finished")]


def test_a_search_in_which_all_diverges_is_told(home, toy):
    "It fails, and again without training; a report of other runs tells each of its rates; alone it makes no report"
    assert gru_study("train", "--data", toy, "--epoch", 2, "--hidden", 8, "--save_dir", "calm").returncode == 0
    wild = words(toy, "--optim", "sgd", "--clip", 0, "--wd", 1, "--trials", 4, "--ln_lr_min", 80, "--ln_lr_max", 85)
    said = (r"gru-study: search: no trial of s could be trained to the end; "
        r"the first: training diverged in epoch \d+, step \d+: .*")
    kept = lambda: {f: f.stat().st_mtime_ns for f in (home / "exp/s").rglob("*") if f.suffix in (".json", ".db")}
    first, before, again = gru_study(*wild), kept(), gru_study(*wild)
    for done in (first, again): assert done.returncode == 1 and re.fullmatch(said, last_line(done.stderr)), done.stderr
    assert kept() == before and home / "exp/s/search_result.json" in before
    from gru_study.findings import rate_findings
    from gru_study.study import collect, rates_table
    rates = [f"{t['lr']:.4g}" for t in facts(home)["trials"]]
    table, (told,) = rates_table(collect()), rate_findings(collect())
    assert sorted(table.rate) == sorted(rates) and {*table.state} == {"diverged"}
    assert told.startswith("**Divergence.** gru-8 on toy at rate ")
    assert all(f"at rate {lr} (training diverged in epoch" in unescape(told) for lr in rates)
    nothing = gru_study("report", "--under", "s")
    assert nothing.returncode == 2 and "found no finished run" in last_line(nothing.stderr)


def test_extension(home, toy, tmp_path):
    "-c adds trials and seeds to a finished search, as if they had been asked for at once; nothing else may differ"
    run = lambda *flags, **env: gru_study(*words(toy, *flags), **env)
    assert run("--trials", 2, "--seeds", 1).returncode == 0
    before = stamps(home, *ended(home))
    assert len(before) > 4 and run("--trials", 2, "--seeds", 1).returncode == 0  # finished: nothing to do
    for flags, field in (
            (("--trials", 4), "trials"), (("--seeds", 2), "seeds"), (("--trials", 1, "-c"), "trials"),
            (("--trials", 4, "-c", "--ln_lr_max", -7), "ln_lr_max")):
        refused = run("--trials", 2, "--seeds", 1, *flags)
        assert (refused.returncode == 2
            and last_line(refused.stderr).startswith(f"gru-study: {field}: found")), refused.stderr
    assert stamps(home, *ended(home)) == before
    assert run("--trials", 4, "--seeds", 2, "-c").returncode == 0
    assert before.items() <= stamps(home, *ended(home)).items()
    assert run("--trials", 4, "--seeds", 2, GRU_STUDY_HOME=str(tmp_path / "at once")).returncode == 0
    assert facts(home) == facts(tmp_path / "at once")


def test_same_as_single_runs(home, toy):
    "A trial and a seed of a search have the weights, bit for bit, that `train` gives with the same settings"
    from safetensors.numpy import load_file
    assert gru_study(*words(toy, "--trials", 2, "--seeds", 1)).returncode == 0
    f = facts(home)
    for row, seed in ((f["trials"][1], 0), (f["seeds"][0], 1)):
        settings = ["--hidden", "8", "--epoch", "20", "--weight_noise", "0.075", "--lr", repr(row["lr"]),
            "--seed", str(seed), "--save_dir", f"single/{seed}"]
        assert gru_study("train", "--data", toy, *settings).returncode == 0
        ours, single = (load_file(home / "exp" / d / "model.safetensors")
            for d in (f"s/{row['run']}", f"single/{seed}"))
        assert ours.keys() == single.keys() and all(ours[k].tobytes() == single[k].tobytes() for k in ours)


@pytest.mark.parametrize("flags,sentence", [
    (["--lr", "0.1"], "lr: found '0.1', allowed: none, because a search looks for it"),
    (["--trials", "0"], "trials: found '0', allowed: greater than or equal to 1"),
    (["--ln_lr_min", "-3"], "ln_lr_min: found -3.0, allowed: less than ln_lr_max, -6.0"),
    (["--sampler", "grid"], "sampler: found 'grid', allowed: 'random' or 'tpe'")])
def test_refusals(home, toy, flags, sentence):
    "What cannot be searched is refused in one line, and nothing is written"
    one_line(gru_study(*words(toy, *flags)), sentence)
    assert not any(home.rglob("*"))
