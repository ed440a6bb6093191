"The compiler: step functions that hypothesis composes, cells of one's own in every place, what is refused or resumed."
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import SOAK, gru_study
from hypothesis import HealthCheck, given, settings, strategies as st

from gru_study.cells import Cell, Recurrent
from gru_study.compile import compile_cell
from gru_study.kernels import gradients, make_layout, make_work, pack, unpack
from gru_study.losses import make_sparse
from gru_study.trace import Untraceable, trace

F = torch.nn.functional
COUNT = int(os.environ.get("GRU_STUDY_COMPOSED", "25"))  # the soak takes 300

ONE = {  # of one value
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
    "neg": lambda x: -x, "abs": torch.abs, "half": lambda x: 0.5*x,
    "exp": lambda x: torch.exp(x.clamp(-3, 2)), "log": lambda x: torch.log(1 + x*x), "softplus": F.softplus,
    "sqrt": lambda x: (x.abs() + 0.1).sqrt(), "square": lambda x: torch.tanh(x)**2, "cube": lambda x: torch.tanh(x)**3,
    "power": lambda x: (x.abs() + 0.5)**1.7, "inverse": lambda x: (1 + x.abs())**-1,
    "clamp": lambda x: x.clamp(min=-0.5, max=0.7),
    "bell": lambda x: torch.exp(-x*x), "method": lambda x: x.sigmoid().mul(2).sub(1),
    "step": lambda x: torch.where(x > 0.2, x, 0.3),
    "norm": lambda x: (x - x.mean(-1, keepdim=True))/(x.var(-1, keepdim=True, correction=0) + 0.01)**0.5,
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]), "mean": lambda x: x - x.mean(-1, keepdim=True),
    "reverse": lambda x: 1 - x}
TWO = {  # of two
    "add": torch.add, "sub": lambda x, y: x - y, "mul": lambda x, y: x*y, "div": lambda x, y: x/(2 + torch.tanh(y)),
    "maximum": torch.maximum, "minimum": torch.minimum, "where": lambda x, y: torch.where(x < y, x, 2*y),
    "gate": lambda x, y: torch.sigmoid(x)*y}
SQUASH = [torch.tanh, torch.sigmoid, lambda x: x/(1 + x.abs())]


@st.composite
def composed(draw) -> tuple[Cell, str]:
    "A cell of random operations, and what it does"
    gates, states, vectors = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    recurrent = draw(st.integers(0, gates))
    pick, plan = st.integers(0, 10**6), []
    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(["one", "two", "two", *["product"]*bool(recurrent)]))
        name = draw(st.sampled_from(sorted(ONE if kind == "one" else TWO if kind == "two" else ["linear", "matmul"])))
        plan.append((kind, name, draw(pick), draw(pick), draw(pick)))
    ends = [(draw(pick), draw(st.integers(0, 2))) for _ in range(states)]

    def step(wx, state, U, b, V=None):
        n = wx.shape[-1]//gates
        hidden = state if states > 1 else (state,)
        values = [*wx.chunk(gates, -1), *hidden, *(v + 0*hidden[0] for v in (V if V is not None else ()))]
        for kind, name, i, j, k in plan:
            x, y = values[i % len(values)], values[j % len(values)]
            rows = slice(k % max(1, recurrent)*n, (k % max(1, recurrent) + 1)*n)
            if kind == "one": x = ONE[name](x)
            elif kind == "two": x = TWO[name](x, y)
            elif name == "linear": x = F.linear(x, U[rows], b[rows])
            else: x = x @ U[rows].T
            values.append(x)
        new = tuple(SQUASH[how](values[-1 - i % min(4, len(values))]) for i, how in ends)
        return new if states > 1 else new[0]
    step.__name__ = "composed"
    return (Cell(step, tuple("abcd"[:gates]), states, vectors, recurrent=recurrent),
        f"{gates, states, vectors, recurrent} {plan} {ends}")


@settings(max_examples=COUNT, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(composed(), st.integers(1, 70), st.sampled_from([1, 1, 3]), st.integers(0, 2**31))
def test_composed_step_functions_equal_autograd(cell_and_plan, units, layers, seed):
    "Loss and every gradient in float64 to 1e-10; that of the padding exactly 0; nothing beyond the memory"
    cell, _ = cell_and_plan
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rolls = [(rng.random((T, 88)) < 0.05).astype(np.uint8) for T in (2, 3, 9)]
    rnn, readout = Recurrent(cell, 88, units, layers).double(), torch.nn.Linear(units, 88).double()
    loss = sum(F.binary_cross_entropy_with_logits(readout(rnn(x[:, :-1])[0]), x[:, 1:], reduction="sum")
               for x in (torch.from_numpy(r)[None].double() for r in rolls))/11
    named = ({f"rnn.{k}": p for k, p in rnn.named_parameters()}
        | {f"readout.{k}": p for k, p in readout.named_parameters()})
    expected = torch.autograd.grad(loss, named.values(), allow_unused=True)

    lay = make_layout(cell, units, layers)
    work = make_work(lay, compile_cell(cell, np.float64), 14)
    memory = np.full((layers, work.memory.shape[1] + 64), 7.)
    memory[:, :-64] = 0
    vector, gradient = pack(lay, {k: p.detach() for k, p in named.items()}, np.float64), np.full(lay.size, np.nan)
    ours, _ = gradients(
        np.arange(3), lay, make_sparse(rolls, dtype=np.float64), vector, gradient, work._replace(memory=memory))
    assert abs(ours - loss.item()) < 1e-9
    found = unpack(lay, gradient)
    for (k, p), e in zip(named.items(), expected):
        e = np.zeros(p.shape) if e is None else e.numpy()
        assert np.abs(found[k] - e).max() <= 1e-10*max(1, np.abs(e).max()), k
    assert np.count_nonzero(gradient) == sum(map(np.count_nonzero, found.values())), "padding"
    assert (memory[:, -64:] == 7).all(), "beyond the memory"


# a cell of one's own, in processes

UGRNN = '''
import torch
from gru_study.cells import cell
from torch.nn.functional import linear

@cell("gate", "candidate")
def ugrnn(wx, h, U, b):
    g, n = (wx + linear(h, U, b)).chunk(2, -1)
    g = torch.sigmoid(g + 1.0)
    return g*h + (1 - g)*torch.tanh(n)
'''
REFUSED = { # a line of the step -> what the sentence names
    "return h if h.mean() > 0 else wx": "line 6: a sum that is not over the units",
    "return wx if wx[0, 0] > 0 else h": "line 6: gt of what is no row of gates",
    "return torch.cos(wx + h)": "line 6: cos is not among what is compiled",
    "return torch.tanh(wx + h*torch.rand_like(h))": "line 6: rand_like is not among what is compiled",
    "return torch.tanh(wx + h/h.shape[-1])": "it computes with the number of units",
    "return torch.tanh(wx + (h[:, :, None] @ h[:, None] @ h[:, :, None])[..., 0])": "line 6: "}


def one_line(line):
    return f"import torch\nfrom gru_study.cells import cell\n\n@cell('state')\ndef mine(wx, h, U, b):\n    {line}\n"


def result(home, name): return json.loads((home/f"exp/{name}/result.json").read_text())


@pytest.mark.parametrize("line,reason", REFUSED.items())
def test_what_cannot_be_compiled_trains_by_torch(home, toy, tmp_path, line, reason):
    "auto says why, once, and trains; fused refuses with the same sentence and exit code 2, leaving nothing"
    (tmp_path/"mine.py").write_text(one_line(line))
    words = ["train", "--data", toy, "--rnn", f"{tmp_path}/mine.py:mine", "--hidden", 6, "--epoch", 2]
    refused = gru_study(*words, "--engine", "fused", "--save_dir", "fused")
    assert (refused.returncode == 2 and "Traceback" not in refused.stderr
        and len(refused.stderr.strip().splitlines()) == 1)
    assert "engine: found 'fused', allowed: torch or auto, because mine" in refused.stderr and reason in refused.stderr
    assert not (home/"exp/fused").exists()
    done = gru_study(*words, "--save_dir", "auto")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("torch trains, since mine") == 1 and reason in done.stderr
    assert result(home, "auto")["provenance"]["engine"] == "torch"


def test_own_cell_trains_compiled_and_as_torch_does(home, toy, tmp_path):
    "file.py:name and module:name, one layer and two: the same loss within 1e-3"
    (tmp_path/"mine.py").write_text(UGRNN)
    words = ["train", "--data", toy, "--hidden", 9, "--epoch", 12, "--weight_noise", 0.05]
    for layers in (1, 2):
        for name, rnn, engine in (
                ("file", f"{tmp_path}/mine.py:ugrnn", "auto"), ("module", "mine:ugrnn", "auto"),
                ("torch", "mine:ugrnn", "torch")):
            done = gru_study(*words, "--rnn", rnn, "--engine", engine, "--layers", layers,
                "--save_dir", f"{name}{layers}", PYTHONPATH=str(tmp_path))
            assert done.returncode == 0, done.stderr
        found = [result(home, f"{name}{layers}") for name in ("file", "module", "torch")]
        assert [f["provenance"]["engine"] for f in found] == ["fused", "fused", "torch"]
        assert (len({f["provenance"]["graph"] for f in found}) == 1
            and found[0]["provenance"]["kernels"] and not found[2]["provenance"]["kernels"])
        nll = [f["test"]["nll"] for f in found]
        assert nll[0] == nll[1] and max(nll)/min(nll) - 1 < 1e-3


def test_an_edited_cell_is_noticed(home, toy, tmp_path):
    "Resumed, extended, asked for again: refused in one sentence; spaces and names are no edit; --overwrite begins anew"
    cell, words = tmp_path/"mine.py", ["train", "--data", toy, "--hidden", 6, "--save_dir", "own"]
    cell.write_text(UGRNN)
    again = lambda *more: gru_study(*words, "--rnn", f"{cell}:ugrnn", *more)
    assert again("--epoch", 3).returncode == 0
    cell.write_text(UGRNN.replace("g, n", "gate, new").replace("(g + 1.0)", "(gate  + 1.0)")
        .replace("torch.tanh(n)", "torch.tanh(new)"))
    assert again("--epoch", 3).returncode == 0 and again("--epoch", 5, "-c").returncode == 0
    cell.write_text(UGRNN.replace("1.0", "1.5"))
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    for more in (["--epoch", 5], ["--epoch", 9, "-c"]):
        refused = again(*more)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr
        assert (f"rnn: the step function {cell}:ugrnn has changed since" in refused.stderr
            and "--overwrite" in refused.stderr)
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before
    assert again("--epoch", 5, "--overwrite").returncode == 0


@pytest.mark.parametrize("flags", [["--rnn", "ugrnn"],
    *(pytest.param(f, marks=SOAK) for f in (["--rnn", "gru", "--layers", 2], ["--rnn", "slstm"]))])
def test_killed_and_resumed_to_the_bit(home, toy, tmp_path, flags):
    (tmp_path/"ugrnn.py").write_text(UGRNN)
    flags = [f"{tmp_path}/ugrnn.py:ugrnn" if f == "ugrnn" else f for f in flags]
    words = ["train", "--data", toy, "--hidden", 12, "--weight_noise", 0.05, "--epoch", 1500, *flags]
    assert gru_study(*words, "--save_dir", "calm").returncode == 0
    for rows in (100, 600, 1100):
        command = [sys.executable, "-c", "import sys; from gru_study.cli import main; sys.exit(main())",
            *map(str, words), "--save_dir", "hurt"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = home/"log/hurt/metrics.csv"
        while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") <= rows):
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert gru_study(*words, "--save_dir", "hurt").returncode == 0
    weights = [(home/f"exp/{name}/model.safetensors").read_bytes() for name in ("calm", "hurt")]
    assert weights[0] == weights[1]
    assert result(home, "hurt")["test"] == result(home, "calm")["test"]


def test_own_cell_in_a_sweep(home, toy, tmp_path):
    "papermill kernels compile it too, in two workers at once, and once"
    (tmp_path/"ugrnn.py").write_text(UGRNN)
    cache = tmp_path/"cache"
    done = gru_study("sweep", "music_lm", "--grid", f"rnn=gru,{tmp_path}/ugrnn.py:ugrnn", f"data={toy}", "epoch=2",
        "hidden=6", "--workers", 2, "--under", "own", XDG_CACHE_HOME=str(cache))
    assert done.returncode == 0, done.stderr + done.stdout
    found = [json.loads(p.read_text()) for p in home.rglob("result.json")]
    assert {f["cell"]: f["provenance"]["engine"] for f in found} == {"gru": "fused", "ugrnn": "fused"}
    assert len(list(cache.rglob("ugrnn_*.py"))) == 1


def test_other_kernels_resume_and_say_so(home, toy):
    "A checkpoint of another version of the kernels: the same numbers to rounding, both versions in the provenance"
    words = ["train", "--data", toy, "--hidden", 6, "--save_dir", "run"]
    before = "import gru_study.train as t; t.kernels_version = lambda: 'earlier'"
    command = [sys.executable, "-c", f"{before}\nimport sys; from gru_study.cli import main; sys.exit(main())",
        *map(str, words), "--epoch", "3"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    done = gru_study(*words, "--epoch", 6, "-c")
    assert done.returncode == 0 and "the kernels have changed since this run began" in done.stderr
    kernels = result(home, "run")["provenance"]["kernels"]
    assert kernels[0] == "earlier" and len(kernels) == 2


def test_a_refused_trace_names_place_and_operation():
    def lost(wx, h, U, b): return torch.fft.fft(h).real
    with pytest.raises(Untraceable, match=r"lost, line \d+: fft"): trace(Cell(lost, ("state",)))


def test_two_processes_compile_once(toy, tmp_path):
    "On an empty cache one compiles, the other says that it waits, then finds everything there; a third adds nothing"
    cache = tmp_path/"cache"
    env = os.environ | dict(XDG_CACHE_HOME=str(cache/"own"), NUMBA_CACHE_DIR=str(cache/"numba"),
        GRU_STUDY_HOME=str(tmp_path))
    words = ["train", "--data", str(toy), "--epoch", "1", "--hidden", "5", "--weight_noise", "0.01"]
    kept = lambda: {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()}
    start = lambda name: subprocess.Popen([sys.executable, "-m", "gru_study", *words, "--save_dir", name],
        env=env, stderr=subprocess.PIPE, text=True)
    said = [p.communicate(timeout=300)[1] for p in (start("a"), start("b"))]
    assert all((tmp_path/f"exp/{name}/result.json").is_file() for name in "ab"), said
    assert sorted("waiting for another process" in s for s in said) == [False, True]
    assert sum("compiling the kernels and the cell gru" in s for s in said) == 1
    before, third = kept(), start("c")
    assert "compiling" not in third.communicate(timeout=300)[1] and third.returncode == 0
    assert kept() == before and before
