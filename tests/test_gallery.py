"The cells since 2014: against their equations in numpy, trained, translating, known wherever names are looked up."
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, gru_study

from gru_study.base import CELL_NAMES
from gru_study.cells import Recurrent, get_cell

GALLERY = CELL_NAMES[5:]


def s(a): return 1 / (1 + np.exp(-a))
def relu(a): return np.where(a > 0, a, 0)
def norm(a): return (a - a.mean()) / np.sqrt(((a - a.mean()) ** 2).mean() + 1e-5)


# One step of one sequence: x[k] is what gate k gets from the input, U[k] its recurrent matrix and b[k] its bias
def cifg(x, st, U, b, V):
    h, c = st
    i = s(x[0] + U[0] @ h + b[0])
    c = (1 - i) * c + i * np.tanh(x[1] + U[1] @ h + b[1])
    return s(x[2] + U[2] @ h + b[2]) * np.tanh(c), c


def mgu(x, st, U, b, V):
    (h,) = st
    f = s(x[0] + U[0] @ h + b[0])
    return ((1 - f) * h + f * np.tanh(x[1] + U[1] @ (f * h) + b[1]),)


def ran(x, st, U, b, V):
    h, c = st
    c = s(x[0] + U[0] @ h + b[0]) * x[2] + s(x[1] + U[1] @ h + b[1]) * c
    return np.tanh(c), c


def janet(x, st, U, b, V):
    (h,) = st
    forget = x[0] + U[0] @ h + b[0]
    return (s(forget) * h + (1 - s(forget - 1)) * np.tanh(x[1] + U[1] @ h + b[1]),)


def indrnn(x, st, U, b, V): return (relu(x[0] + np.clip(V[0], -1, 1) * st[0]),)


def ligru(x, st, U, b, V):
    (h,) = st
    z = s(x[0] + U[0] @ h + b[0])
    return (z * h + (1 - z) * relu(x[1] + U[1] @ h + b[1]),)


def sru(x, st, U, b, V):
    c = st[1]
    f, r = s(x[0] + V[0] * c), s(x[1] + V[1] * c)
    c = f * c + (1 - f) * x[2]
    return r * c + (1 - r) * x[3], c


def lstm_norm(x, st, U, b, V):
    h, c = st
    i, f, g, o = (V[k] * norm(x[k]) + V[4 + k] * norm(U[k] @ h) + b[k] for k in range(4))
    c = s(f) * c + s(i) * np.tanh(g)
    return s(o) * np.tanh(V[8] * norm(c) + V[9]), c


def mingru(x, st, U, b, V): return ((1 - s(x[0])) * st[0] + s(x[0]) * x[1],)


def minlstm(x, st, U, b, V):
    f, i = s(x[0]), s(x[1])
    return (f / (f + i) * st[0] + i / (f + i) * x[2],)


def slstm(x, st, U, b, V):
    h, c, n, m = st
    i, f, z, o = (x[k] + U[k] @ h + b[k] for k in range(4))
    new = np.maximum(np.log(s(f)) + m, i)
    i, f = np.exp(i - new), np.exp(np.log(s(f)) + m - new)
    c, n = f * c + i * np.tanh(z), f * n + i
    return s(o) * c / n, c, n, new


@pytest.mark.parametrize("name", GALLERY)
def test_a_step_is_its_equation(name):
    "Twenty steps in two layers from a random state, float64: to 1e-10"
    assert callable(globals().get(name)), f"write the equation of {name} above, in numpy"
    torch.manual_seed(3)
    rng, cell, n = np.random.default_rng(4), get_cell(name), 5
    net = Recurrent(cell, 3, n, 2).double()
    with torch.no_grad():
        for p in net.parameters(): p.normal_()
    x, state = rng.normal(size=(20, 3)), rng.normal(size=(cell.states, 2, n))
    if name == "slstm": state[2] = abs(state[2])
    given = tuple(torch.tensor(state)[:, :, None])
    ours, last = net(torch.tensor(x)[None], given)
    for k in range(2):
        W, U, b, c, *V = (w.detach().numpy() for w in net.layer(k))
        st, hidden = state[:, k], []
        for frame in x:
            seen, back = (W @ frame + b).reshape(-1, n), (U.reshape(-1, n, n), c.reshape(-1, n))
            st = globals()[name](seen, st, *back, V[0] if V else None)
            hidden.append(st[0])
        x = np.array(hidden)
        for a, e in zip(last, st, strict=True):
            assert np.abs(a[k, 0].detach().numpy() - e).max() < 1e-10
    assert np.abs(ours[0].detach().numpy() - x).max() < 1e-10


@pytest.mark.parametrize("name", GALLERY)
def test_trains(name, home):
    "Two epochs of the chorales by torch, at the size of the paper's rule: all numbers finite, and the loss falls"
    from gru_study.experiment import Experiment
    from gru_study.runs import history
    from gru_study.composing import load_model
    from gru_study.train import fit
    run = fit(Experiment(rnn=name, epoch=2, bs=8, lr=0.003, train_subset=40, engine="torch")).run
    told = history(run)
    first, second = told["valid_nll"]
    assert np.isfinite(told["train_loss"]).all() and second < first
    assert load_model(run).rnn.cell is get_cell(name) and all(p.isfinite().all() for p in load_model(run).parameters())


@pytest.mark.parametrize("name", GALLERY)
def test_translates(name):
    "Both sides of a translator; one update reaches all its weights and lowers the loss"
    from gru_study.models import Translator, output_loss
    torch.manual_seed(0)
    model = Translator(get_cell(name), (30, 20), 8, 12, 2)
    source, lengths, target = torch.randint(4, 30, (3, 9)), torch.tensor([9, 2, 5]), torch.randint(4, 20, (3, 6))
    features = lambda: model(source, lengths, target[:, :-1]).flatten(0, 1)
    loss = lambda: output_loss(features(), model.output_weight, model.bias, target[:, 1:].flatten())[0]
    (first := loss()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    torch.optim.Adam(model.parameters(), lr=0.003).step()
    assert loss() < first


def python(code): return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_names_are_known_without_their_code():
    "A specification takes a name without loading torch; who has only `cells` finds all cells, also in a saved model"
    asked = "import sys; from gru_study.experiment import Experiment; e = Experiment(rnn='mgu')"
    done = python(f"{asked}; assert 'torch' not in sys.modules; print(e.units)")
    assert done.stdout == "62\n", done.stderr
    done = python("from gru_study.cells import get_cell; print(get_cell('slstm').states)")
    assert done.stdout == "4\n", done.stderr
    done = python("import sys; import gru_study.cli; assert 'torch' not in sys.modules; "
        "from gru_study.base import CELL_NAMES; from gru_study.cells import CELLS; import gru_study.gallery; "
        "print({*CELLS} == {*CELL_NAMES}, len(CELL_NAMES) >= 16)")
    assert done.stdout == "True True\n", done.stderr
    for command in ("train", "search"):
        told = " ".join(gru_study(command, "--help").stdout.split())
        assert all(f"{name}," in told for name in CELL_NAMES)


def test_a_saved_model_of_the_gallery(tmp_path):
    from gru_study.models import MusicLM
    torch.save(MusicLM(get_cell("sru"), 3), tmp_path / "model.pt")
    done = python(f"import torch; print(torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False).rnn.cell.name)")
    assert done.stdout == "sru\n", done.stderr


def test_a_name_of_the_gallery_is_taken(home, toy, tmp_path):
    (tmp_path / "mine.py").write_text("from gru_study.cells import cell\n\n"
        "@cell('state')\ndef mgu(wx, h, U, b): return wx\n")
    done = gru_study("train", "--rnn", f"{tmp_path}/mine.py:mgu", "--data", toy)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "'mgu' is that of a built-in cell; choose another" in done.stderr
    assert not any(home.rglob("*"))
