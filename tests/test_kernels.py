"The fused engine: random shapes against autograd, compiled once, small in memory, the torch engine's curves on music."
import json
import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, SOAK, gru_study
from hypothesis import given, settings, strategies as st

from gru_study import gallery  # noqa: F401
from gru_study.cells import CELLS, Recurrent
from gru_study.compile import compile_cell
from gru_study.kernels import gradients, make_layout, make_work, pack, unpack
from gru_study.losses import LEAST, dense, make_sparse

BUILT_IN = [*CELLS.values()]
STUDIED = [c.name for c in BUILT_IN if c.units]
SHAPES = int(os.environ.get("SHAPES", 40))  # of each kind; make soak tries more


@settings(max_examples=SHAPES, deadline=None, derandomize=True)
@given(st.sampled_from(BUILT_IN), st.integers(1, 70), st.sampled_from([1, 3]), st.integers(0, 2**31),
       st.lists(st.tuples(st.integers(2, 50), st.sampled_from([0.0, 0.04, 0.5, 1.0])), min_size=1, max_size=3))
def test_gradients_equal_autograd(cell, units, layers, seed, shapes):
    "float64, T from 2 to 50, sizes 1 to 70, one layer and three, silent frames and frames with all notes: to 1e-10"
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rolls = [(rng.random((T, 88)) < p).astype(np.uint8) for T, p in shapes]
    rnn, readout = Recurrent(cell, 88, units, layers).double(), torch.nn.Linear(units, 88).double()
    frames = sum(len(r) - 1 for r in rolls)
    loss = 0
    for r in rolls:
        x = torch.from_numpy(r)[None].double()
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(
            readout(rnn(x[:, :-1])[0]), x[:, 1:], reduction="sum") / frames
    named = ({f"rnn.{k}": p for k, p in rnn.named_parameters()}
        | {f"readout.{k}": p for k, p in readout.named_parameters()})
    expected = dict(zip(named, torch.autograd.grad(loss, named.values())))

    lay, guard = make_layout(cell, units, layers), 64
    vector, gradient = pack(lay, {k: p.detach() for k, p in named.items()}, np.float64), np.full(lay.size, np.nan)
    work = make_work(lay, compile_cell(cell, np.float64), sum(map(len, rolls)))
    memory = np.full((layers, work.memory.shape[1] + guard), 7.)
    memory[:, :-guard] = 0
    ours, count = gradients(np.arange(len(rolls)), lay, make_sparse(rolls, dtype=np.float64), vector, gradient,
                            work._replace(memory=memory))
    assert count == frames and abs(ours - loss.item()) < 1e-9
    by_name = unpack(lay, gradient)
    for k, g in by_name.items():
        slopes = expected[k].numpy()
        assert np.abs(g - slopes).max() < 1e-10 * max(1, np.abs(slopes).max()), k
    assert np.count_nonzero(gradient) == sum(map(np.count_nonzero, by_name.values())), "padding"
    assert (memory[:, -guard:] == 7).all(), "beyond the memory"


def mixture(outputs, y):
    "NLL of each row of y by torch's distributions"
    d = torch.distributions
    weights, means, s = outputs.unflatten(-1, (1 + 2 * y.shape[-1], -1)).split((1, y.shape[-1], y.shape[-1]), -2)
    normal = d.Normal(means.mT, (LEAST + torch.nn.functional.softplus(s - LEAST)).exp().mT)
    return -d.MixtureSameFamily(d.Categorical(logits=weights.squeeze(-2)), d.Independent(normal, 1)).log_prob(y)


@settings(max_examples=SHAPES, deadline=None, derandomize=True)
@given(st.sampled_from(BUILT_IN), st.integers(1, 70), st.sampled_from([1, 2]), st.integers(0, 2**31),
    st.sampled_from([0.1, 1.0, 5.0]), st.sampled_from([(20, 1, 1), (20, 20, 10), (3, 7, 4)]),
    st.lists(st.integers(2, 50), min_size=1, max_size=16))
def test_gradients_of_a_mixture_equal_autograd(cell, units, layers, seed, size, shape, lengths):
    "float64, dense inputs and targets, up to 16 sequences of 2 to 50 rows in a batch: to 1e-10 of the largest slope"
    torch.manual_seed(seed)
    rng, (inputs, components, D) = np.random.default_rng(seed), shape
    xs, ys = ([size * rng.standard_normal((T, n)) for T in lengths] for n in (inputs, D))
    outputs = components * (1 + 2 * D)
    rnn, readout = Recurrent(cell, inputs, units, layers).double(), torch.nn.Linear(units, outputs).double()
    frames = sum(lengths) - len(lengths)
    loss = sum(
        mixture(readout(rnn(torch.from_numpy(x)[None, :-1])[0])[0], torch.from_numpy(y[1:])).sum()
        for x, y in zip(xs, ys)) / frames
    named = ({f"rnn.{k}": p for k, p in rnn.named_parameters()}
        | {f"readout.{k}": p for k, p in readout.named_parameters()})
    expected = dict(zip(named, torch.autograd.grad(loss, named.values())))

    lay = make_layout(cell, units, layers, inputs, outputs)
    vector, gradient = pack(lay, {k: p.detach() for k, p in named.items()}, np.float64), np.full(lay.size, np.nan)
    work = make_work(lay, compile_cell(cell, np.float64), sum(lengths), True)
    ours, count = gradients(rng.permutation(len(lengths)), lay, dense(xs, ys, np.float64), vector, gradient, work)
    assert count == frames and abs(ours / loss.item() - 1) < 1e-10
    by_name, scale = unpack(lay, gradient), max(1, *(g.abs().max().item() for g in expected.values()))
    for k, g in by_name.items(): assert np.abs(g - expected[k].numpy()).max() < 1e-10 * scale, k
    assert np.count_nonzero(gradient) == sum(map(np.count_nonzero, by_name.values())), "padding"


@pytest.mark.real_data
@pytest.mark.parametrize("rnn", ["tanh", "gru", "lstm",
    *(pytest.param(name, marks=SOAK) for name in sorted({*STUDIED, "mgu", "lstm_norm"} - {"tanh", "gru", "lstm"}))])
def test_same_curve_as_torch_on_jsb(rnn, home):
    "Five epochs with weight noise: the training loss agrees to 1e-3"
    from gru_study.experiment import Experiment
    from gru_study.models import OneThread
    from gru_study.engines import TorchEngine
    from gru_study.frames import FusedEngine
    from gru_study.train import experiment_data
    e = Experiment(rnn=rnn, data="JSB", weight_noise=0.075, train_subset=60)
    data = experiment_data(e)
    with OneThread():
        engines = TorchEngine(e, data), FusedEngine(e, data)
        for n in range(1, 6): a, b = (engine.train_epoch(n) for engine in engines)
        assert abs(a.loss / b.loss - 1) < 1e-3 and abs(a.nll / b.nll - 1) < 1e-3
        assert abs(engines[0].evaluate(data.test).nll / engines[1].evaluate(data.test).nll - 1) < 1e-3


def test_one_engine_resumes_the_other(home, toy):
    words = ["train", "--data", toy, "--hidden", 9, "--weight_noise", 0.05]
    for first, second in (("torch", "fused"), ("fused", "torch")):
        assert gru_study(*words, "--save_dir", first, "--engine", first, "--epoch", 5).returncode == 0
        assert gru_study(*words, "--save_dir", first, "--engine", second, "--epoch", 10, "-c").returncode == 0
    assert gru_study(*words, "--save_dir", "whole", "--engine", "fused", "--epoch", 10).returncode == 0
    nll = [json.loads((home / f"exp/{run}/result.json").read_text())["test"]["nll"]
        for run in ("torch", "fused", "whole")]
    assert max(nll) / min(nll) - 1 < 1e-3


MEMORY = """
import resource, sys
from gru_study.experiment import Experiment
from gru_study.engines import make_engine
from gru_study.train import experiment_data
from gru_study.losses import make_sparse
warm = experiment_data(Experiment(data=sys.argv[1]))
make_engine(Experiment(data=sys.argv[1], weight_noise=0.01), warm).train_epoch(1)      # compiled
e = Experiment(data="MuseData", weight_noise=0.075)
data = experiment_data(e)
now = lambda: int(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmRSS")))*1024
before = now()
engine = make_engine(e, data)
assert engine.name == "fused"
for n in (1, 2): engine.train_epoch(n)
engine.evaluate(data.valid)
print((now() - before)/1e6)
"""


@pytest.mark.real_data
def test_memory_on_musedata(toy):
    "Sequences of up to 4273 frames: no more than 20 MB over the data"
    done = subprocess.run([sys.executable, "-c", MEMORY, str(toy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"grew by {float(done.stdout):.1f} MB")
    assert float(done.stdout) <= 20


def test_trials_in_threads_do_not_disturb_each_other(home, toy):
    "Two runs at once in threads end with the bits of two runs one after the other"
    from concurrent.futures import ThreadPoolExecutor
    from gru_study.experiment import Experiment
    from gru_study.composing import load_model
    from gru_study.train import fit
    spec = lambda name, seed: Experiment(
        data=str(toy), hidden=20, epoch=40, weight_noise=0.05, seed=seed, save_dir=name)
    with ThreadPoolExecutor(2) as pool: both = list(pool.map(fit, [spec("a", 1), spec("b", 2)]))
    for result, name, seed in zip(both, ("c", "d"), (1, 2)):
        alone = fit(spec(name, seed))
        for p, q in zip(load_model(result.run).parameters(), load_model(alone.run).parameters()):
            assert torch.equal(p, q)


def test_a_kernel_is_not_kept_beyond_what_it_calls(tmp_path):
    "numba looks at the file of a function alone; log_uniform stands in another than the logarithm that it calls"
    shutil.copytree(ROOT / "gru_study", tmp_path / "gru_study", ignore=shutil.ignore_patterns("__pycache__"))
    def asked():
        code = "from gru_study.updates import log_uniform; print(log_uniform(2**23 - 1))"
        env = os.environ | dict(PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)
    assert asked() == asked() == pytest.approx(math.log(0.5), abs=1e-6)
    kept = len([*(tmp_path / "cache").rglob("*.nbi")])
    with open(tmp_path / "gru_study/arithmetic.py", "a") as file: file.write("\n@inner\ndef log(x): return x*0 + 7\n")
    assert kept and asked() == asked() == 7
