"A run that is given to somebody: one file, a repository of a hub, a network; what is read is never run by being read."
import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from conftest import gru_study, here, make_toy
from markdown_it import MarkdownIt
from safetensors.numpy import load, save
from test_trust import CELL, one_line

from gru_study.files import digest


def scores(done):
    "What evaluate has said, but for where the run lies"
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    *lines, where = done.stdout.splitlines()
    assert where.startswith("in "), where
    return lines


def hand_over(home, toy, folder):
    "A run with a cell of its own, exported; then its folder, and its cell's file, are gone. The file, and its scores"
    file, out, env = folder / "mine.py", folder / "from a friend.safetensors", dict(GRU_STUDY_HOME=str(home))
    file.write_text(CELL)
    asked = "--data", toy, "--epoch", 2, "--hidden", 6
    done = gru_study("train", "--rnn", f"{file}:mine", *asked, "--save_dir", "own", **env)
    assert done.returncode == 0, done.stderr
    done = gru_study("export", "own", out, **env)
    assert done.returncode == 0 and f"names where it puts the source of {file}" in done.stdout, done.stderr
    before = scores(gru_study("evaluate", "own", "--trust", file, **env))
    shutil.rmtree(home)
    for old in (file, file.with_suffix(".ran")): old.unlink()
    return out, before


@pytest.fixture
def given(home, toy, tmp_path): return hand_over(home, toy, tmp_path)


@pytest.fixture(scope="module")
def parcel(tmp_path_factory):
    "Such a file, made once"
    folder = tmp_path_factory.mktemp("parcel")
    (folder / "home").mkdir()
    return hand_over(folder / "home", make_toy(folder), folder)[0]


def test_it_comes_back_and_runs_nothing(home, given, tmp_path):
    out, before = given
    done = gru_study("evaluate", out)
    (cell,) = (home / "exp/given").glob("*/mine.py")
    one_line(done, f"rnn: {cell}:mine is code, and nobody has asked to run it here; allowed: --trust {cell}")
    assert cell.read_text() == CELL and not cell.with_suffix(".ran").exists()
    assert scores(gru_study("evaluate", out, "--trust", cell)) == before and cell.with_suffix(".ran").exists()
    assert gru_study("sample", out, "--out", tmp_path / "x.mid", "--trust", cell).returncode == 0
    assert len([*(home / "exp/given").iterdir()]) == 1
    assert scores(gru_study("evaluate", cell.parent, "--trust", cell)) == before
    assert "mine-6" in gru_study("report").stdout


def test_what_is_unpacked_is_what_the_file_holds(home, given, toy):
    "A damaged folder is made whole from the file; one that was trained further is kept, and does not answer for it"
    out, before = given
    assert gru_study("evaluate", out).returncode == 2
    (cell,) = (home / "exp/given").glob("*/mine.py")
    weights = (cell.parent / "model.safetensors").read_bytes()
    (cell.parent / "model.safetensors").write_bytes(weights[:-1] + b"!")
    changed = CELL + "open('/dev/null')\n"
    cell.write_text(changed)
    one_line(gru_study("evaluate", cell.parent, "--trust", cell), "damaged, its content is not what was written")
    assert scores(gru_study("evaluate", out, "--trust", cell)) == before and cell.read_text() == CELL
    assert (cell.parent / "model.safetensors").read_bytes() == weights
    same = "--data", toy, "--hidden", 6, "--save_dir", cell.parent.relative_to(home / "exp")
    assert gru_study("train", "--rnn", f"{cell}:mine", *same, "--overwrite", "--epoch", 3).returncode == 0
    trained = (cell.parent / "model.safetensors").read_bytes()
    one_line(gru_study("evaluate", out, "--trust", cell), f"{cell.parent}: trained further, so it is not what {out}")
    assert (cell.parent / "model.safetensors").read_bytes() == trained != weights
    shutil.rmtree(cell.parent)
    assert gru_study("evaluate", out).returncode == 2 and scores(gru_study("evaluate", out, "--trust", cell)) == before


def test_a_cell_that_has_changed(home, toy, tmp_path):
    "It is not scored, not exported, not averaged with the runs of what it was"
    file, out = tmp_path / "mine.py", tmp_path / "x.safetensors"
    file.write_text(CELL)
    train = "train", "--rnn", f"{file}:mine", "--data", toy, "--epoch", 1, "--hidden", 6
    assert gru_study(*train, "--save_dir", "one").returncode == 0
    changed = CELL.replace("tanh", "sigmoid")
    assert changed != CELL
    file.write_text(changed)
    one_line(gru_study("export", "one", out), f"{file} may have changed since one was trained; allowed: the file as")
    for asked in (("export", "one", out), ("export", "one", out.with_suffix(".onnx")), ("evaluate", "one"),
            ("sample", "one", "--out", tmp_path / "x.mid")):
        done = gru_study(*asked, "--trust", file)
        assert done.returncode == 2 and f"the step function {file}:mine has changed since" in done.stderr
    assert not out.exists() and not out.with_suffix(".onnx").exists() and not (tmp_path / "x.mid").exists()
    assert gru_study(*train, "--save_dir", "two", "--seed", 1).returncode == 0
    said = gru_study("report").stdout
    assert said.count("mine-6 step=") == 2, said
    file.write_text(CELL + "# a remark\n") # that changes no number
    assert gru_study("export", "one", out, "--trust", file).returncode == 0


def test_data_that_stay_at_home(home, given, toy, tmp_path):
    "What a run was trained on need not be there to compose; to score it, somebody says where it is"
    out, before = given
    assert gru_study("evaluate", out).returncode == 2
    (cell,) = (home / "exp/given").glob("*/mine.py")
    moved = toy.rename(tmp_path / "moved.npz")
    done = gru_study("sample", out, "--out", tmp_path / "x.mid", "--trust", cell)
    assert done.returncode == 0, done.stderr
    refused = gru_study("evaluate", out, "--trust", cell)
    one_line(refused, f"data: found '{toy}'")
    primed = "sample", out, "--out", tmp_path / "y.mid", "--prime", "test:0", "--trust", cell
    one_line(gru_study(*primed), f"data: found '{toy}'")
    assert gru_study(*primed, "--data", moved).returncode == 0
    done = gru_study("evaluate", out, "--data", moved, "--trust", cell)
    assert scores(done)[1:] == before[1:] and "other data" not in done.stderr
    done = gru_study("evaluate", out, "--data", "chorales", "--trust", cell)
    assert done.returncode == 0 and "other data than those of the training, toy: 42 sequences" in done.stderr
    one_line(gru_study("evaluate", out, "--data", "nothing.npz", "--trust", cell), "data: found 'nothing.npz'")
    with np.load(moved) as f: arrays = {k: f[k] for k in f.files}
    first = next(k for k in arrays if k.startswith("train"))
    np.savez(moved, **arrays | {first: np.roll(arrays[first], 1, axis=0)}) # as many notes as before, and others
    done = gru_study("evaluate", out, "--data", moved, "--trust", cell)
    assert done.returncode == 0 and "other data than those of the training, toy" in done.stderr


def test_a_cell_of_a_module(home, toy, tmp_path, monkeypatch):
    "It is not in the file, and that is said"
    (tmp_path / "mymod.py").write_text(CELL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    asked = "train", "--rnn", "mymod:mine", "--data", toy, "--epoch", 1, "--hidden", 6, "--save_dir", "one"
    assert gru_study(*asked).returncode == 0
    done = gru_study("export", "one", tmp_path / "x.safetensors")
    assert done.stdout.endswith("with the module mymod, which is not in the file, and --trust mymod\n"), done.stdout
    assert gru_study("evaluate", tmp_path / "x.safetensors", "--trust", "mymod").returncode == 0
    assert b"def mine" not in (tmp_path / "x.safetensors").read_bytes()


def packed(out, change):
    "The file with something in it changed, its digests made anew by somebody who knows how"
    data = out.read_bytes()
    content = json.loads(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["gru_study"])
    del content["digest"]
    tensors = load(data)
    change(content, tensors)
    content["weights"] = digest(save(tensors))
    content["digest"] = digest(json.dumps(content).encode())
    out.write_bytes(save(tensors, {"gru_study": json.dumps(content)}))


def in_files(name, change):
    "Change a JSON file of the run"
    def changed(content, _):
        told = json.loads(content["files"][name])
        change(told)
        content["files"][name] = json.dumps(told)
    return changed


HOSTILE = {
    "a path that leads out": (lambda c, t: c["files"].update({"../../../evil.py": "x"}),
        "holds other files than a run has"),
    "another file": (lambda c, t: c["files"].update({"evil.py": "x"}), "holds other files than a run has"),
    "no specification": (lambda c, t: c["files"].pop("config.json"), "holds other files than a run has"),
    "texts that are none": (lambda c, t: c["files"].update({"metrics.csv": 3}), "damaged"),
    "files that are a list": (lambda c, t: c.update(files=["config.json"]), "damaged"),
    "a cell without a source": (lambda c, t: c.update(cell={"file": 1}), "damaged"),
    "scores that are words": (in_files("result.json", lambda r: r["test"].update(nll="good")), "result.json: damaged"),
    "a result that is a list": (lambda c, t: c["files"].update({"result.json": "[]"}), "damaged"),
    "a result without config": (in_files("result.json", lambda r: r.pop("config")), "it has no config"),
    "a cell with more": (lambda c, t: c["cell"].update(more="x"), "damaged"),
    "half a character": (lambda c, t: c["files"].update({"metrics.csv": "\ud800"}), "damaged"),
    "nested deeply": (lambda c, t: c["files"].update({"config.json": "[" * 100_000}), "damaged"),
    "another task": (in_files("config.json", lambda c: c.update(task="os:system")), "config.json: "),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(home, parcel, tmp_path, case):
    "One sentence, and nothing is left of it"
    change, sentence = HOSTILE[case]
    packed(file := Path(shutil.copy(parcel, tmp_path)), change)
    one_line(here("evaluate", file), sentence)
    left = [p for p in home.rglob("*") if p.is_file()] if home.exists() else []
    assert left == [] and not (home.parent / "evil.py").exists()


def test_weights_of_another_shape(home, given):
    packed(given[0], lambda c, t: t.update({"readout.bias": np.zeros(3, np.float32)}))
    cell = home / "exp/given"
    assert gru_study("evaluate", given[0]).returncode == 2
    done = gru_study("evaluate", given[0], "--trust", *cell.glob("*/mine.py"))
    one_line(done, "model.safetensors: damaged or of another network")


def test_what_export_refuses(home, toy, tmp_path):
    one_line(gru_study("export", "nothing"), "run: found 'nothing'")
    one_line(gru_study("export", "pretrained/chorales/gru", tmp_path / "x.pt"), "that ends with .safetensors or .onnx")
    one_line(gru_study("export", "pretrained/chorales/gru", tmp_path / "no/such/x.safetensors"), "out: found")
    out = tmp_path / "x.safetensors"
    assert gru_study("export", "pretrained/captions_de_en/gru", out).returncode == 0
    one_line(gru_study("export", "pretrained/chorales/gru", out), "a new file")
    network = tmp_path / "x.onnx"
    one_line(gru_study("export", "pretrained/captions_de_en/gru", network), "a translator is not written as ONNX")
    assert not network.exists()
    done = gru_study("translate", out, "Eine Katze jagt neben dem Haus einen blauen Stock.")
    assert done.stdout.strip() == "A cat is chasing a blue stick next to the house."


def heard(file, frames, *state):
    "What onnxruntime makes of frames: outputs, the new state, and what else comes out"
    given = {f"state_{k}": s.numpy() for k, s in enumerate(state)}
    return onnxruntime.InferenceSession(file).run(None, {"frames": frames.numpy(), **given})


def test_an_own_cell_as_onnx(home, given, tmp_path):
    "It runs where it is trusted, and then as torch runs it; the file says what it is"
    from gru_study.cells import trust
    from gru_study.composing import load_model
    from gru_study.folder import find_run
    file = tmp_path / "mine.onnx"
    assert gru_study("export", given[0], file).returncode == 2 and not file.exists()
    (cell,) = (home / "exp/given").glob("*/mine.py")
    done = gru_study("export", given[0], file, "--trust", cell)
    assert done.returncode == 0 and "mine.onnx: " in done.stdout and done.stderr == "", done.stderr
    trust(str(cell))
    model = load_model(run := find_run(str(given[0])))
    for batch, time in ((1, 1), (3, 1), (2, 30)):
        x, h = torch.rand(batch, time, 88), torch.randn(1, batch, 6)
        with torch.no_grad(): outputs, (last,) = model(x, (h,))
        for ours, theirs in zip((outputs, last), heard(file, x, h)): np.testing.assert_allclose(ours, theirs, atol=1e-5)
    told = {p.key: p.value for p in onnx.load(file).metadata_props}
    assert (told["cell"], told["units"], json.loads(told["test"])["nll"]) == ("mine", "6", run.result["test"]["nll"])
    assert told["digest"] == digest(run.read("model.safetensors")) and CELL.encode() not in file.read_bytes()


def test_chords_as_onnx(home, toy, tmp_path):
    "What the head's formula asks for comes out: by it, in numpy, the NLL of the frames that came is torch's"
    from gru_study.composing import load_model
    from gru_study.folder import find_run
    done = gru_study("train", "--data", toy, "--epoch", 1, "--hidden", 7, "--rnn", "lstm", "--head", "nade",
        "--head_units", 5, "--save_dir", "chords")
    assert done.returncode == 0, done.stderr
    assert gru_study("export", "chords", file := tmp_path / "chords.onnx").returncode == 0
    rolls = (torch.rand(2, 9, 88) < 0.1).float()
    outputs, *_, W, V = heard(file, rolls[:, :-1], *torch.zeros(2, 1, 2, 7))
    y, (b, c) = rolls[:, 1:].numpy(), np.split(outputs, [88], -1)
    below = np.cumsum(y[..., None] * W, -2) - y[..., None] * W
    logits = b + (V / (1 + np.exp(-c[..., None, :] - below))).sum(-1)
    nll = (np.logaddexp(0, logits) - y * logits).sum(-1)
    model = load_model(find_run("chords"))
    with torch.no_grad(): expected = model.nll(model(rolls[:, :-1])[0], rolls[:, 1:])
    np.testing.assert_allclose(nll, expected, rtol=1e-4)


def test_sound_as_onnx(home, tmp_path):
    from gru_study.folder import find_run
    from gru_study.speaking import load_speaker
    done = gru_study("train", "--task", "speech", "--epoch", 1, "--hidden", 5, "--train_subset", 3, "--valid_subset", 2,
        "--save_dir", "sound")
    assert done.returncode == 0, done.stderr
    assert gru_study("export", "sound", file := tmp_path / "sound.onnx").returncode == 0
    x, h = torch.randn(2, 6, 20), torch.randn(1, 2, 5)
    with torch.no_grad(): outputs, (last,) = load_speaker(find_run("sound"))(x, (h,))
    for ours, theirs in zip((outputs, last), heard(file, x, h)): np.testing.assert_allclose(ours, theirs, atol=1e-5)


def in_python(code, **env):
    "Run code in a process of its own"
    return subprocess.run([sys.executable, "-c", code], env=os.environ | env, capture_output=True, text=True)


def test_the_extra_for_a_hub_is_named():
    done = in_python("import sys; sys.modules['huggingface_hub'] = None; import gru_study.hub")
    assert done.stderr.strip().endswith("hub: huggingface_hub is not installed; "
        'install gru-study with its extra "hub", in its repository by "make setup"')


@pytest.fixture
def saved(home, given, tmp_path):
    "The run of `given` as it would go up to a hub; then all of it that lies in the study's home is gone"
    from gru_study.folder import find_run
    from gru_study.hub import SharedRun
    SharedRun(find_run(str(given[0]))).save_pretrained(folder := tmp_path / "saved")
    shutil.rmtree(home)
    return folder


def test_a_hub_folder_comes_back_and_runs_nothing(home, given, saved):
    from gru_study.hub import SharedRun
    assert {p.name for p in saved.iterdir()} == {"model.safetensors", "README.md"}
    run = SharedRun.from_pretrained(saved).run
    cell = run.exp / "mine.py"
    assert cell.read_text() == CELL and not cell.with_suffix(".ran").exists()
    one_line(gru_study("evaluate", run.exp), "nobody has asked to run it here")
    assert scores(gru_study("evaluate", run.exp, "--trust", cell)) == given[1]
    with pytest.raises(ValueError, match="a new folder, or an empty one"): SharedRun(run).save_pretrained(run.exp)
    assert run.result # the mixin would have deleted its config.json


def test_hostile_hub_folders(home, saved):
    "One sentence, and nothing is left; what else lies there is not looked at"
    from gru_study.hub import SharedRun
    (saved / "config.json").write_text("[" * 100_000)
    (saved / "README.md").write_bytes(b"\xff")
    (saved / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    assert SharedRun.from_pretrained(saved).run.result
    shutil.rmtree(home)
    whole = (saved / "model.safetensors").read_bytes()
    for changed, sentence in ((whole[:-1] + b"x", "damaged"), (whole[:99], "or no file that gru-study"),
            (b"", "or no file"), (save({"x": np.zeros(3, np.float32)}), "a file that gru-study export has")):
        (saved / "model.safetensors").write_bytes(changed)
        with pytest.raises(ValueError, match=sentence): SharedRun.from_pretrained(saved)
    (saved / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be read"): SharedRun.from_pretrained(saved)
    assert not [p for p in home.rglob("*") if p.is_file()]


def test_a_card_of_hostile_names(home, given, tmp_path):
    "Names are text in it, whatever they hold, and the header has none of them"
    from gru_study.folder import find_run
    from gru_study.hub import SharedRun
    evil = "x\n---\ntags: [evil]\n---\n<script>alert(1)</script> | [a](http://b) ![c](d) `e` <!-- {{ f }} {% g %} \\"
    packed(given[0], in_files("result.json", lambda r: (r.update(cell=evil, data=evil), r["config"].update(data=evil))))
    SharedRun(find_run(str(given[0]))).save_pretrained(folder := tmp_path / "saved")
    _, header, body = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(header) == {"library_name": "gru-study", "tags": ["music_lm", "recurrent-neural-network"]}
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert not [t for t in ("<script", "<a ", "<img", "<!--") if t in page]
    assert (page.count("<h1>"), page.count("<th>"), page.count("&lt;script&gt;alert(1)&lt;/script&gt;")) == (1, 6, 6)


class Hub(BaseHTTPRequestHandler):
    "As much of a hub as an upload and a download ask for; it keeps files in memory"
    files: dict[str, bytes] = {}

    def log_message(self, *_): pass

    def answer(self, content, **headers):
        self.send_response(200)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(content)

    def do_POST(self):
        told = self.rfile.read(int(self.headers["Content-Length"]))
        here, said = f"http://127.0.0.1:{self.server.server_port}/me/bach", {}
        if self.path == "/api/repos/create": said = {"url": here}
        if self.path.endswith("/preupload/main"):
            said = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(told)["files"]]}
        if self.path.endswith("/commit/main"):
            values = [line["value"] for line in map(json.loads, told.splitlines()) if line["key"] == "file"]
            self.files.update({f"/me/bach/resolve/main/{v['path']}": base64.b64decode(v["content"]) for v in values})
            said = {"commitUrl": f"{here}/commit/1", "commitOid": "1" * 40}
        self.answer(json.dumps(said).encode())

    def do_GET(self):
        if self.path in self.files: self.answer(self.files[self.path], ETag='"1"', X_Repo_Commit="1" * 40)
        else: self.send_error(404)
    do_HEAD = do_GET


def test_up_to_a_hub_and_down_again(home, tmp_path):
    "By huggingface_hub itself, against a hub on this machine"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = dict(HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HOME=str(tmp_path / "hf"), HF_TOKEN="x")
    try:
        done = in_python("from gru_study.folder import find_run; from gru_study.hub import SharedRun; "
            "SharedRun(find_run('pretrained/chorales/gru')).push_to_hub('me/bach')", **env)
        assert done.returncode == 0, done.stderr
        assert {p.rpartition("/")[2] for p in Hub.files} == {"model.safetensors", "README.md"}
        get = "from gru_study.hub import SharedRun; print(SharedRun.from_pretrained('me/{}').run.save_dir)"
        done = in_python(get.format("bach"), **env)
        assert done.returncode == 0 and done.stdout.startswith("given/bach-"), done.stderr
        assert "chorales" in gru_study("evaluate", done.stdout.strip()).stdout
        last = in_python(get.format("nobody"), **env).stderr.strip().splitlines()[-1]
        assert "BadInput: me/nobody: model.safetensors cannot be had" in last
    finally: server.shutdown()
