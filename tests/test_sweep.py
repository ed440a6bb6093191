"A sweep whose jobs fail in every way, that is killed, that loses a machine: each job ends once, and nothing is left running."
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import nbformat
import psutil
import pytest
from conftest import ROOT, gru_study
from test_commands import one_line
from test_resume import start


def notebook(path, *sources):
    "A notebook of code cells, of which the first holds the parameters"
    cells = [nbformat.v4.new_code_cell(s) for s in sources]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}), path)
    return path


# Appends a line to the file that $TOLD names: in one write, so that jobs side by side do not mix theirs.
TELL = "import os, time\ndef tell(*words): os.write(os.open(os.environ['TOLD'], os.O_WRONLY | os.O_CREAT | os.O_APPEND), (' '.join(map(str, words)) + '\\n').encode())\n"


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    "A job of a few seconds that tells when it starts and when it has finished"
    return notebook(tmp_path_factory.mktemp("notebooks") / "job.ipynb", "n = 0", TELL + "tell('ran', n, os.getpid())\ntime.sleep(1)", "time.sleep(0.5); tell('finished', n)")


@pytest.fixture
def told(tmp_path, monkeypatch):
    "Reads what the jobs have told: a list of words for each line"
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return lambda: [line.split() for line in (tmp_path / "told").read_text().splitlines()] if (tmp_path / "told").exists() else []


def numbers(lines, word): return Counter(n for w, n, *_ in lines if w == word)


def table(stdout):
    "The table at the end of a sweep, without seconds: state, folder, error of each job"
    return [re.fullmatch(r"(done|failed) +\d+\.\d s  (\S+)(?:  (\S.*))?", line).groups() for line in stdout.split("\n\n")[-1].splitlines()]


def executed(home): return sorted(f.parent.name for f in home.glob("exp/job/*/job.ipynb"))


def left(home):
    "Processes of this home's jobs: papermill and kernels"
    found = psutil.process_iter(["environ", "cmdline"])
    return [p for p in found if (p.info["environ"] or {}).get("GRU_STUDY_HOME") == str(home) and re.search("ipykernel|notebook_process", " ".join(p.info["cmdline"] or ()))]


def all_gone(home, patience=15):
    "Have all processes of this home's jobs ended, or do they soon?"
    return not psutil.wait_procs(left(home), patience)[1] and not left(home)


WAYS = """print("first", way)
tell(way)"""
FAIL = """if way == "raises": raise ValueError("boom\\nsecond line")
if way == "exits": os._exit(3)
if way == "sleeps": time.sleep(1000)"""


def test_every_way_to_fail(home, told, tmp_path):
    "A cell that raises, a kernel that dies, a job that takes too long: each is recorded with its reason, and the others are done"
    ways = ["fine", "raises", "exits", "sleeps", "fine2"]
    command = ["sweep", notebook(tmp_path / "job.ipynb", "way = ''", TELL + WAYS, FAIL), "--grid", f"way={','.join(ways)}", "--timeout", "20", "--workers", "2"]
    errors = {"raises": "ValueError: boom", "exits": "DeadKernelError: Kernel died", "sleeps": "timed out after 20 s"}
    expected = [("failed" if w in errors else "done", f"job/way={w}", errors.get(w)) for w in ways]
    for times in (1, 2):
        done = gru_study(*command)
        assert done.returncode == 1 and table(done.stdout) == expected, done.stdout + done.stderr
        assert all_gone(home)
        assert Counter(w for w, in told()) == {w: times if w in errors else 1 for w in ways}  # the second time only what failed
        for w in ways:
            files = {f.name for f in (home / f"exp/job/way={w}").iterdir() if not f.name.startswith(".")}
            assert files == ({"job.failed.ipynb", "job.failed.log"} if w in errors else {"job.ipynb", "job.html"})
        for w in errors:
            outputs = [o for c in nbformat.read(home / f"exp/job/way={w}/job.failed.ipynb", 4).cells for o in c.get("outputs", [])]
            assert any(o.get("text") == f"first {w}\n" for o in outputs)


def five(counting): return ["sweep", str(counting), "--grid", "n=1,2,3,4,5", "--workers", "2"]


@pytest.fixture(scope="module")
def calm(counting, tmp_path_factory):
    "The table of the five jobs when nothing disturbs them"
    home = tmp_path_factory.mktemp("calm")
    done = gru_study(*five(counting), GRU_STUDY_HOME=str(home), TOLD=str(home / "told"))
    assert done.returncode == 0, done.stdout + done.stderr
    return table(done.stdout)


@pytest.mark.parametrize("ended", [0, 1, 4])
def test_killed_sweep(home, told, counting, calm, ended):
    "Killed when so many jobs have ended, its kernels die with it; the same command runs what is missing and says what it would have said"
    process = start(*five(counting))
    while process.poll() is None and not (len(executed(home)) >= ended and len(told()) > ended): time.sleep(0.02)
    before, running = executed(home), left(home)
    process.kill()
    assert process.wait() == -signal.SIGKILL and running
    assert all_gone(home)
    again = gru_study(*five(counting))
    assert again.returncode == 0 and table(again.stdout) == calm, again.stdout + again.stderr
    assert executed(home) == [f"n={n}" for n in range(1, 6)]
    ran, finished = (numbers(told(), word) for word in ("ran", "finished"))
    assert set(ran) == set(finished) == set("12345")
    assert {n: ran[n] for n in ran if f"n={n}" in before} == {f[2:]: 1 for f in before}


@pytest.fixture
def dask(tmp_path, home, told):
    "A scheduler and two workers on this machine: its address, and the workers' processes"
    pytest.importorskip("distributed")
    processes, file = [], tmp_path / "scheduler.json"
    def run(which, *flags):
        command = [sys.executable, "-m", f"distributed.cli.dask_{which}", "--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard", *flags]
        processes.append(psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        run("scheduler", "--port", "0")
        for _ in range(2): run("worker", "--nthreads", "1", "--no-nanny")
        while not file.exists():
            assert all(p.poll() is None for p in processes)
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], processes[1:]
    finally:
        for p in processes: p.kill()
        for p in processes: p.wait()


def run_sweep(*words):
    "Start a sweep; what it prints is to be read"
    command = [sys.executable, "-c", "import sys; from gru_study.cli import main; sys.exit(main())", "sweep", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_dask_cluster(home, told, counting, dask):
    "Six jobs on two workers, of which one is killed in the middle of a job: that job is done by the other"
    address, workers = dask
    sweep = run_sweep(counting, "--grid", "n=1,2,3,4,5,6", "--scheduler", address)
    def found():
        "The worker of the job that started last and runs, once another has ended; and that job"
        running = [line[1:] for line in told() if line[0] == "ran" and line[1] not in numbers(told(), "finished")]
        return [(p, n) for n, kernel in running[-1:] for p in workers if int(kernel) in {c.pid for c in p.children(recursive=True)}] if executed(home) else []
    while sweep.poll() is None and not (victims := found()): time.sleep(0.02)
    (worker, lost), = victims
    worker.kill()
    stdout, stderr = sweep.communicate()
    assert sweep.returncode == 0 and table(stdout) == [("done", f"job/n={n}", None) for n in range(1, 7)], stdout + stderr
    assert executed(home) == [f"n={n}" for n in range(1, 7)]
    assert numbers(told(), "finished") == dict.fromkeys("123456", 1)
    assert numbers(told(), "ran") == dict.fromkeys("123456", 1) | {lost: 2}
    assert all_gone(home)


def test_no_scheduler(home, counting):
    "An address where nobody answers is refused in one line"
    pytest.importorskip("distributed")
    one_line(gru_study("sweep", counting, "--grid", "n=1", "--scheduler", "tcp://127.0.0.1:1"), "scheduler: found 'tcp://127.0.0.1:1', allowed: the address of a running dask scheduler")
    assert not any(home.rglob("*"))


def test_two_sweeps_at_once(home, told, tmp_path):
    "What another sweep is running is waited for, and what it has done meanwhile is kept: each job runs once, and both sweeps call it done"
    job = notebook(tmp_path / "job.ipynb", "n = 0", TELL + "tell('ran', n)", "while n == 1 and not os.path.exists(os.environ['TOLD'] + '.go'): time.sleep(0.05)")
    sweeps = [run_sweep(job, "--grid", "n=1,2", "--workers", "1")]
    while sweeps[0].poll() is None and not told(): time.sleep(0.02)
    sweeps.append(run_sweep(job, "--grid", "n=1,2", "--workers", "2"))
    while sweeps[1].poll() is None and not executed(home): time.sleep(0.02)
    (tmp_path / "told.go").touch()  # the first sweep is still in n=1, the second has done n=2
    said = [s.communicate() for s in sweeps]
    assert [s.returncode for s in sweeps] == [0, 0], said
    assert [table(stdout) for stdout, _ in said] == [[("done", "job/n=1", None), ("done", "job/n=2", None)]]*2
    assert numbers(told(), "ran") == {"1": 1, "2": 1} and executed(home) == ["n=1", "n=2"]


GRIDS = """
- {a: [1, 2], b: [x, y], c: 5}
- {a: [3], b: [z]}
- {a: [2], b: [y], c: 7}
"""


def test_yaml_grid(home, tmp_path):
    "Of values in a list the words leave those they name, a single value they replace, a missing one they add; a grid of which nothing is left is dropped"
    job = notebook(tmp_path / "job.ipynb", "a = 0\nb = ''\nc = 0", "print(repr((a, b, c)))")
    (tmp_path / "grids.yaml").write_text(GRIDS)
    done = gru_study("sweep", job, "--grid", tmp_path / "grids.yaml", "a=2,3", "b=x,z", "c=7")
    assert done.returncode == 0 and table(done.stdout) == [("done", "job/a=2,b=x", None), ("done", "job/a=3,b=z", None)], done.stdout + done.stderr
    for folder, values in (("a=2,b=x", (2, "x", 7)), ("a=3,b=z", (3, "z", 7))):
        assert nbformat.read(home / "exp/job" / folder / "job.ipynb", 4).cells[-1].outputs[0].text == f"{values!r}\n"


@pytest.mark.parametrize("content,more,sentence", [
    ("- [1, 2]", [], "holds [1, 2]; allowed: a mapping"), ("", [], "holds None; allowed: a mapping"), ("n: {m: 1}", [], "allowed: a mapping"), ("n: []", [], "allowed: a mapping"),
    ("n: [1", [], "cannot be read as YAML"), (None, [], "which is no file; allowed: a YAML file"), ("n: [1, 2]", ["n=3"], "n=3 leaves nothing of"), ("m: [1]", [], "grid: found 'm', allowed: a parameter of job.ipynb: n")])
def test_wrong_grid_file(home, tmp_path, counting, content, more, sentence):
    "A file that holds no grids of this notebook is refused in one line, and nothing is written"
    file = tmp_path / "grids.yaml"
    if content is not None: file.write_text(content)
    one_line(gru_study("sweep", counting, "--grid", file, *more), sentence)
    assert not any(home.rglob("*"))
