"A sweep whose jobs fail in every way, that is killed, that loses a machine: each job ends once, nothing runs on."
import hashlib
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
from conftest import ROOT, SOAK, gru_study
from hypothesis import given, settings, strategies as st
from test_commands import one_line
from test_resume import start


def notebook(path, *sources):
    "A notebook of code cells, of which the first holds the parameters"
    cells = [nbformat.v4.new_code_cell(s) for s in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


# Appends a line to the file that $TOLD names: in one write, so that jobs side by side do not mix theirs.
TELL = """import os, time
def tell(*words):
    file = os.open(os.environ['TOLD'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, (' '.join(map(str, words)) + '\\n').encode())
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    "A job of a few seconds that tells when it starts and when it has finished"
    return notebook(tmp_path_factory.mktemp("notebooks") / "job.ipynb", "n = 0",
        TELL + "tell('ran', n, os.getpid())\ntime.sleep(1)", "time.sleep(0.5); tell('finished', n)")


@pytest.fixture
def told(tmp_path, monkeypatch):
    "Reads what the jobs have told: a list of words for each line"
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    file = tmp_path / "told"
    return lambda: [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def numbers(lines, word): return Counter(n for w, n, *_ in lines if w == word)


def table(stdout):
    "The table at the end of a sweep, without seconds: state, folder, error of each job"
    return [re.fullmatch(r"(done|failed) +\d+\.\d s  (\S+)(?:  (\S.*))?", line).groups()
        for line in stdout.split("\n\n")[-1].splitlines()]


def executed(home): return sorted(f.parent.name for f in home.glob("exp/job/*/job.ipynb"))


def left(home):
    "Processes of this home's jobs: papermill and kernels"
    found = psutil.process_iter(["environ", "cmdline"])
    return [p for p in found if (p.info["environ"] or {}).get("GRU_STUDY_HOME") == str(home)
        and re.search("ipykernel|notebook_process", " ".join(p.info["cmdline"] or ()))]


def all_gone(home, patience=15):
    "Have all processes of this home's jobs ended, or do they soon?"
    return not psutil.wait_procs(left(home), patience)[1] and not left(home)


WAYS = """print("first", way)
tell(way)"""
FAIL = """if way == "raises": raise ValueError("boom\\nsecond line")
if way == "exits": os._exit(3)
if way == "sleeps": time.sleep(1000)"""


def test_every_way_to_fail(home, told, tmp_path):
    "A cell raises, a kernel dies, a job takes too long: each is recorded with its reason, and the others are done"
    ways = ["fine", "raises", "exits", "sleeps", "fine2"]
    command = ["sweep", notebook(tmp_path / "job.ipynb", "way = ''", TELL + WAYS, FAIL),
        "--grid", f"way={','.join(ways)}", "--timeout", "20", "--workers", "2"]
    errors = {"raises": "ValueError: boom", "exits": "DeadKernelError: Kernel died", "sleeps": "timed out after 20 s"}
    expected = [("failed" if w in errors else "done", f"job/way={w}", errors.get(w)) for w in ways]
    for times in (1, 2):
        done = gru_study(*command)
        assert done.returncode == 1 and table(done.stdout) == expected, done.stdout + done.stderr
        assert all_gone(home)
        # the second time only what failed
        assert Counter(w for w, in told()) == {w: times if w in errors else 1 for w in ways}
        for w in ways:
            files = {f.name for f in (home / f"exp/job/way={w}").iterdir() if not f.name.startswith(".")}
            assert files == ({"job.failed.ipynb", "job.failed.log"} if w in errors else {"job.ipynb", "job.html"})
        for w in errors:
            outputs = [o for c in nbformat.read(home / f"exp/job/way={w}/job.failed.ipynb", 4).cells
                for o in c.get("outputs", [])]
            assert any(o.get("text") == f"first {w}\n" for o in outputs)


def five(counting): return ["sweep", str(counting), "--grid", "n=1,2,3,4,5", "--workers", "2"]


@pytest.fixture(scope="module")
def calm(counting, tmp_path_factory):
    "The table of the five jobs when nothing disturbs them"
    home = tmp_path_factory.mktemp("calm")
    done = gru_study(*five(counting), GRU_STUDY_HOME=str(home), TOLD=str(home / "told"))
    assert done.returncode == 0, done.stdout + done.stderr
    return table(done.stdout)


@pytest.mark.parametrize("ended", [pytest.param(0, marks=SOAK), 1, pytest.param(4, marks=SOAK)])
def test_killed_sweep(home, told, counting, calm, ended):
    """Killed when so many jobs have ended, its kernels die with it.

    The same command runs what is missing and says what it would have said.
    """
    process = start(*five(counting))
    ripe = lambda: len(executed(home)) >= ended and len(told()) > ended and left(home)  # a job more is running
    while process.poll() is None and not ripe(): time.sleep(0.02)
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
        command = [sys.executable, "-m", f"distributed.cli.dask_{which}", "--scheduler-file", str(file),
            "--host", "127.0.0.1", "--no-dashboard", *flags]
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
    code = "import sys; from gru_study.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "sweep", *map(str, words)]
    heard = lambda: signal.signal(signal.SIGINT, signal.default_int_handler) # also where this runs in the background
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard)


def test_dask_cluster(home, told, counting, dask):
    "Six jobs on two workers, of which one is killed in the middle of a job: that job is done by the other"
    address, workers = dask
    sweep = run_sweep(counting, "--grid", "n=1,2,3,4,5,6", "--scheduler", address)
    def found():
        "The worker of the job that started last and runs, once another has ended; and that job"
        running = [line[1:] for line in told() if line[0] == "ran" and line[1] not in numbers(told(), "finished")]
        if not executed(home): return []
        return [(p, n) for n, kernel in running[-1:] for p in workers
            if int(kernel) in {c.pid for c in p.children(recursive=True)}]
    while sweep.poll() is None and not (victims := found()): time.sleep(0.02)
    (worker, lost), = victims
    worker.kill()
    stdout, stderr = sweep.communicate()
    jobs = [("done", f"job/n={n}", None) for n in range(1, 7)]
    assert sweep.returncode == 0 and table(stdout) == jobs, stdout + stderr
    assert executed(home) == [f"n={n}" for n in range(1, 7)]
    assert numbers(told(), "finished") == dict.fromkeys("123456", 1)
    assert numbers(told(), "ran") == dict.fromkeys("123456", 1) | {lost: 2}
    assert all_gone(home)


@pytest.mark.parametrize("end", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=SOAK)])
def test_interrupted_on_a_cluster(home, told, tmp_path, dask, end):
    "A sweep that is interrupted or killed takes its running jobs with it; the same command then ends each once"
    address, workers = dask
    wait = "while not os.path.exists(os.environ['TOLD'] + '.go'): time.sleep(0.05)"
    job = notebook(tmp_path / "job.ipynb", "n = 0", TELL + "tell('ran', n)", f"{wait}\ntell('finished', n)")
    command = job, "--grid", "n=1,2,3,4", "--scheduler", address
    sweep = run_sweep(*command)
    while sweep.poll() is None and len(told()) < 2: time.sleep(0.02)
    sweep.send_signal(end)
    _, stderr = sweep.communicate()
    assert sweep.returncode == (130 if end == signal.SIGINT else -end), stderr
    if end == signal.SIGINT: assert stderr.startswith("gru-study: interrupted") and stderr.count("\n") == 1
    assert all_gone(home) and all(p.is_running() for p in workers)
    (tmp_path / "told.go").touch()
    again = gru_study("sweep", *command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert table(again.stdout) == [("done", f"job/n={n}", None) for n in range(1, 5)]
    assert sorted(numbers(told(), "ran").values()) == [1, 1, 2, 2]
    assert numbers(told(), "finished") == dict.fromkeys("1234", 1)
    assert {f.name for f in home.glob("exp/job/*/*") if f.name[0] != "."} == {"job.ipynb", "job.html"}
    assert all_gone(home)


def test_no_scheduler(home, counting):
    "An address where nobody answers is refused in one line"
    pytest.importorskip("distributed")
    one_line(gru_study("sweep", counting, "--grid", "n=1", "--scheduler", "tcp://127.0.0.1:1"),
        "scheduler: found 'tcp://127.0.0.1:1', allowed: the address of a running dask scheduler")
    assert not any(home.rglob("*"))


def test_two_sweeps_at_once(home, told, tmp_path):
    """What another sweep is running is waited for, and what it has done meanwhile is kept.

    Each job runs once, and both sweeps call it done.
    """
    job = notebook(tmp_path / "job.ipynb", "n = 0", TELL + "tell('ran', n)",
        "while n == 1 and not os.path.exists(os.environ['TOLD'] + '.go'): time.sleep(0.05)")
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
    """Of values in a list the words leave those they name, a single value they replace, a missing one they add.

    A grid of which nothing is left is dropped.
    """
    job = notebook(tmp_path / "job.ipynb", "a = 0\nb = ''\nc = 0", "print(repr((a, b, c)))")
    (tmp_path / "grids.yaml").write_text(GRIDS)
    done = gru_study("sweep", job, "--grid", tmp_path / "grids.yaml", "a=2,3", "b=x,z", "c=7")
    jobs = [("done", "job/a=2,b=x", None), ("done", "job/a=3,b=z", None)]
    assert done.returncode == 0 and table(done.stdout) == jobs, done.stdout + done.stderr
    for folder, values in (("a=2,b=x", (2, "x", 7)), ("a=3,b=z", (3, "z", 7))):
        assert nbformat.read(home / "exp/job" / folder / "job.ipynb", 4).cells[-1].outputs[0].text == f"{values!r}\n"


@pytest.mark.parametrize("content,more,sentence", [
    ("- [1, 2]", [], "holds [1, 2]; allowed: a mapping"), ("", [], "holds None; allowed: a mapping"),
    ("n: {m: 1}", [], "allowed: a mapping"), ("n: []", [], "allowed: a mapping"),
    ("n: [1", [], "cannot be read as YAML"), (None, [], "which is no file; allowed: a YAML file"),
    ("n: [1, 2]", ["n=3"], "n=3 leaves nothing of"),
    ("m: [1]", [], "grid: found 'm', allowed: a parameter of job.ipynb: n")])
def test_wrong_grid_file(home, tmp_path, counting, content, more, sentence):
    "A file that holds no grids of this notebook is refused in one line, and nothing is written"
    file = tmp_path / "grids.yaml"
    if content is not None: file.write_text(content)
    one_line(gru_study("sweep", counting, "--grid", file, *more), sentence)
    assert not any(home.rglob("*"))


TEXTS = st.text(st.characters(codec=None), max_size=150) | st.text("ab./\\\\~ \0\n=,é", max_size=8)
TEXTS |= st.sampled_from(["CON", "nul.txt", "com1", "COM¹ .x", "lpt9.", ".."])
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³")}


@settings(max_examples=500)
@given(TEXTS, TEXTS)
def test_folder_names(text, other):
    "Any text becomes one part of a path that every system takes, and two texts never the same"
    from gru_study.files import folder_name
    name = folder_name(text)
    assert os.path.split(os.path.normpath(os.path.join("/exp", name))) == ("/exp", name)
    assert 1 <= len(name.encode()) <= 100
    assert not set(name) & set('/\\\\:*?"<>|') and all(c.isprintable() for c in name)
    assert name[0] != "." and name[-1] not in ". " and name.split(".")[0].rstrip().upper() not in DEVICES
    assert text == other or name != folder_name(other)


def test_nothing_outside(home, told, tmp_path):
    "Values of any form stay below the folder of the sweep, each in one of its own, and arrive as they were typed"
    job = notebook(tmp_path / "job.ipynb", "text = ''", TELL + "tell(repr(text))")
    values = ["a/../../../../ESC/x", "..", "é", "b"]
    before = set(tmp_path.rglob("*"))
    done = gru_study("sweep", job, "--grid", f"text={','.join(values)}", "--under", "u")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(word for word, in told()) == sorted(map(repr, values))
    assert len(list(home.glob("exp/u/job/*/job.ipynb"))) == len(values)
    assert {p for p in set(tmp_path.rglob("*")) - before if home not in p.parents} == {tmp_path / "told"}
    assert (home / "exp/u/job/text=b").is_dir() and (home / "exp/u/job/text=é").is_dir()


@pytest.mark.parametrize("name", ["<img src=x onerror=1>", ".hidden", "音" * 80])
def test_data_of_any_name(home, toy, tmp_path, name):
    "A data file of any name is trained on without --save_dir"
    data = toy.rename(tmp_path / f"{name}.npz")
    done = gru_study("train", "--data", data, "--hidden", "4", "--epoch", "1")
    assert done.returncode == 0, done.stderr
    mark = hashlib.sha256(name.encode()).hexdigest()[:12]
    assert [f.parent.parent.name.split("~")[1] for f in home.glob("exp/music_lm/*/gru/result.json")] == [mark]


VALUES = """x: [2024-01-01, .nan, .inf, {1: a}, [1, 2], {a: {b: null}}, "2024_01", "12e5", "None", "1", 1, 1.0, true,
    1e-3, 'é"\\']"""
ARRIVE = ["'2024-01-01'", "nan", "inf", "{'1': 'a'}", "[1, 2]", "{'a': {'b': None}}", "'2024_01'", "'12e5'", "'None'",
    "'1'", "1", "1.0", "True", "'1e-3'", "'é\"\\\\'"]


def test_values_of_every_type(home, told, tmp_path):
    "Values of YAML reach the notebook as papermill has them; the same command keeps them all"
    job = notebook(tmp_path / "job.ipynb", "x = None", TELL + "tell(repr(x))")
    (tmp_path / "g.yaml").write_text(VALUES)
    command = "sweep", job, "--grid", tmp_path / "g.yaml"
    done = gru_study(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(" ".join(line) for line in told()) == sorted(ARRIVE)
    again = gru_study(*command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("kept ") == len(ARRIVE) == len(told())


def test_one_rate_is_one_job(home):
    "Two spellings of one number are one combination, which is refused before anything has run"
    twice = gru_study("sweep", "music_lm", "--grid", "lr=0.001,1e-3")
    one_line(twice, "grid: two jobs would share a folder; allowed: each combination once")
    assert not any(home.rglob("*"))


def test_parameters_as_python_reads_them(home, told, tmp_path):
    "Text with an equals sign, two on a line, magics, a default that is no literal; a cell that is no Python is refused"
    cell = 's = "a=b"; a = 1\n%matplotlib inline\nb, c = 2, dict(d=3)'
    job = notebook(tmp_path / "job.ipynb", cell, TELL + "tell(repr((s, a, b, c)))")
    done = gru_study("sweep", job, "--grid", "s=2", "b=5", "c=True")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [" ".join(line) for line in told()] == ["('2', 1, 5, True)"]
    wrong = notebook(tmp_path / "wrong.ipynb", "a <- 1; b =")
    refused = gru_study("sweep", wrong, "--grid", "a=1")
    one_line(refused, f"notebook: the parameters cell of {wrong} is no Python (SyntaxError: ")
    (tmp_path / "huge.ipynb").touch()
    os.truncate(tmp_path / "huge.ipynb", 10**10)
    refused = gru_study("sweep", tmp_path / "huge.ipynb", "--grid", "a=1")
    one_line(refused, "huge.ipynb has 10,000,000,000 bytes; allowed: at most 100,000,000")


def test_braces_in_a_path(tmp_path, told):
    "papermill puts parameters into paths; ours stay as they are"
    home = tmp_path / "home {n}"
    job = notebook(tmp_path / "job{n}.ipynb", "n = 0", TELL + "tell(n)")
    done = gru_study("sweep", job, "--grid", "n=1", GRU_STUDY_HOME=str(home))
    assert done.returncode == 0 and told() == [["1"]], done.stdout + done.stderr
    assert len(list(home.glob("exp/*/job{n}.ipynb"))) == 1


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))


@pytest.mark.parametrize("content,sentence", [
    ("[" * 3000, "comes to 51 levels or more; allowed: at most 50"),
    (LAUGHS, "values or more; allowed: at most 100,000"),
    ("n: [" + "1, " * 10**6 + "]", "comes to 3,000,005 bytes or more; allowed: at most 1,000,000"),
    ("n: [" + "1," * 400_000 + "]", "comes to 100,001 values or more"),
    ("n: [" + "1," * 10_001 + "]", "grid: found 10,001 combinations, allowed: at most 10,000"),
    ("n: &n [*n]", "has an alias *n that stands for nothing, or for itself"),
    ("n: !!timestamp x", "cannot be read as YAML"),
    ("n: " + "1" * 5000, "cannot be read as YAML"),
    ("n: !!binary YQ==", "grid: a value cannot be passed to a notebook"),
    ("- {n: [1], m: 1}", "grid: found 'm'")])
def test_hostile_yaml(home, tmp_path, counting, content, sentence):
    "YAML that is too much, or that nothing can be made of, is refused in one line"
    (tmp_path / "g.yaml").write_text(content)
    one_line(gru_study("sweep", counting, "--grid", tmp_path / "g.yaml"), sentence)
    assert not any(home.rglob("*"))


def test_very_long_words(home, tmp_path, told):
    "A word of the command line that is too long to be a value is text"
    words = ["-" * 100_000, "[" * 100_000]
    job = notebook(tmp_path / "job.ipynb", "x = 0", TELL + "tell(x[0], len(x))")
    for i, word in enumerate(words):
        done = gru_study("sweep", job, "--grid", f"x={word}", "--under", i)
        assert done.returncode == 0, done.stderr[:1000]
    assert told() == [["-", "100000"], ["[", "100000"]]


@pytest.mark.parametrize("damage", [
    lambda b: b[:len(b) // 2], lambda b: b"", lambda b: b"\xff" + b[1:], lambda b: b"[" * 10**6,
    lambda b: b.replace(b'"parameters"', b'"parametErs"')])
def test_damaged_executed_notebook(home, tmp_path, counting, damage):
    "An executed notebook that cannot be read back is named in one line, and left alone"
    file = home / "exp/job/job.ipynb"
    file.parent.mkdir(parents=True)
    facts = dict(parameters=dict(n=1), duration=1.5)
    content = json.dumps(dict(cells=[], metadata=dict(papermill=facts), nbformat=4, nbformat_minor=5)).encode()
    file.write_bytes(content)
    assert gru_study("sweep", counting, "--grid", "n=1").stdout.startswith("kept ")
    file.write_bytes(damage(content))
    refused = gru_study("sweep", counting, "--grid", "n=1")
    one_line(refused, f"{file}: is no notebook that papermill has executed; move it away")
    assert file.read_bytes() == damage(content)


def only_bad_input(read, *given):
    "What is read; None where it is refused"
    from gru_study.base import BadInput
    try: return read(*given)
    except BadInput: return None


PIECES = [*"[]{},'\"|\n\t%", "x: ", "- ", "? ", ": ", "&a ", "*a", "<<: ", "# ", "---", "\n  ", "0x_", "1:60", ".nan",
    "2024-01-01", "!!int ", "!!set ", "!!timestamp ", "!!bool ", "!!omap "]
YAML = st.lists(st.sampled_from(PIECES), max_size=30).map(lambda p: "".join(p).encode()) | st.binary(max_size=50)


@settings(max_examples=300, deadline=None)
@given(YAML)
def test_any_yaml(tmp_path_factory, content):
    "Whatever is in a file of grids, they are read or refused"
    from gru_study.grids import load_grids, plain
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content)
    for grid in only_bad_input(load_grids, file) or ():
        for value in grid.values(): only_bad_input(plain, value)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text("0123456789eE.-+_jx'\"\\\\[](){}:,ab \n\0", max_size=30), st.integers(1, 1000))
def test_any_word(word, times):
    "Whatever is typed is a grid or refused; its values are what JSON can hold, and turned round give their word"
    from gru_study.grids import Word, as_word, parse_grid, plain, same, typed
    only_bad_input(parse_grid, [word])
    for text in (word, word * times):
        value = typed(Word(text))
        assert same(plain(value), value) and (same(typed(Word(as_word(value))), value) or "\0" in as_word(value))


NAMES = st.sampled_from(["metadata", "papermill", "parameters", "duration"])
FACTS = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner))


@settings(max_examples=300, deadline=None)
@given(FACTS, st.integers(0, 200), st.integers(0, 255))
def test_any_executed_notebook(tmp_path_factory, content, at, byte):
    "Whatever has become of an executed notebook, what it says of its job can be read or is refused"
    from gru_study.notebooks import papermill_facts
    file, text = tmp_path_factory.getbasetemp() / "any.ipynb", json.dumps({"metadata": {"papermill": content}}).encode()
    for written in (text, text[:at], text[:at] + bytes([byte]) + text[at + 1:], json.dumps(content).encode()):
        file.write_bytes(written)
        facts = only_bad_input(papermill_facts, file)
        assert facts is None or isinstance(facts["parameters"], dict) and round(facts["duration"] or 0, 1) >= 0
