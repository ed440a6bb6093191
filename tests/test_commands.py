"The commands as a stranger types them: from the root, from nbs/, with wrong values and wrong files."
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, gru_study


def one_line(done, sentence, code=2):
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and sentence in done.stderr, done.stderr


@pytest.mark.parametrize("flags,sentence", [
    (["--rnn", "gruu"], "rnn: found 'gruu', allowed: tanh, gru, lstm"),
    (["--rnn", "no/such.py:cell"], "rnn: no/such.py cannot be imported"),
    (["--rnn", "json:loads"], "rnn: found 'json:loads', allowed: a step function decorated with @cell"),
    (["--data", "JBS"], "data: found 'JBS', allowed: chorales, JSB"),
    (["--data", ""], "data: found ''"),
    (["--optim", "adam"], "optim: found 'adam', allowed: 'rmsprop', 'rmsprop_graves', 'sgd' or 'adamw'"),
    (["--lr", "-0.1"], "lr: found '-0.1', allowed: greater than 0"),
    (["--lr", "nan"], "lr: found 'nan', allowed: a finite number"),
    (["--clip", "inf"], "clip: found 'inf', allowed: a finite number"),
    (["--epoch", "0"], "epoch: found '0', allowed: greater than or equal to 1"),
    (["--bs", "1.5"], "bs: found '1.5', allowed: a valid integer"),
    (["--device", "tpu"], "device: found 'tpu'"),
    (["--task", "translation"], "task: found 'translation', allowed: 'music_lm'"),
    (["--save_dir", "../out"], "save_dir: found '../out'"),
    (["--save_dir", "/tmp/out"], "save_dir: found '/tmp/out'"),
    (["--save_dir", "."], "save_dir: found '.'"),
    (["--save_dir", "two\nlines"], "save_dir: found 'two\\nlines'"),
    (["--save_dir", "x" * 300], "save_dir: found 'xxx"),
    (["--rnn", "~nosuchuser/x.py:y"], "rnn: ~nosuchuser/x.py cannot be imported"),
    (["--data", "x" * 300], "data: found 'xxx"),
    (["--hidden", "100000000"], "hidden: found '100000000', allowed: less than or equal to 100000"),
    (["-c", "--overwrite"], "overwrite: start anew or continue_training, not both"),
    (["--train_subset", "9999"], "train_subset: found 9999, allowed: 1 to 30"),
    (["--learning_rate", "1"], "unrecognized arguments: --learning_rate"),
    (["--lr"], "--lr: expected one argument"),
])
def test_refusals(home, toy, flags, sentence):
    one_line(gru_study("train", "--data", toy, *flags), sentence)
    assert not any(home.rglob("*"))


def test_no_gpu_here(home, toy):
    import torch
    if torch.cuda.is_available(): pytest.skip("this machine has a GPU")
    one_line(gru_study("train", "--data", toy, "--device", "cuda"), "device: 'cuda' cannot be used here")
    assert not any(home.rglob("*"))


def rolls(**changes):
    good = {f"{s}{k}": v for s in ("train", "valid", "test")
        for k, v in (("", np.eye(8, 88)), ("_lengths", np.array([8])))}
    return good | changes


@pytest.mark.parametrize("content,sentence", [
    (rolls(train=np.eye(8, 87)), "train[0]: found an array of shape (8, 87), allowed: frames x 88"),
    (rolls(valid=2*np.eye(8, 88)), "valid[0]: found values other than 0 and 1, such as 2.0"),
    (rolls(test=np.full((8, 88), np.nan)), "test[0]: found values other than 0 and 1, such as nan"),
    (rolls(test=np.zeros((0, 88)), test_lengths=np.array([], int)), "the test split is empty"),
    (rolls(train_lengths=np.array([7])), "train_lengths must be whole numbers that add up to the 8 frames"),
    (rolls(train_lengths=np.array([-1, 9])), "train_lengths must be whole numbers"),
    (rolls(train_lengths=np.array([1, 7])), "train[0]: found 1 frame(s)"),
    (rolls(train=np.array(["a"]*8)), "train_lengths must be whole numbers"),
    (rolls(train=np.array([object()]*8)), "found the name 'builtins.object', allowed: numbers, strings, lists"),
    ({"train": np.eye(8, 88)}, "lacks train_lengths, valid"),
])
def test_hostile_npz(home, tmp_path, content, sentence):
    np.savez(tmp_path / "bad.npz", **content)
    one_line(gru_study("train", "--data", tmp_path / "bad.npz"), sentence)
    assert not any(home.rglob("*"))


@pytest.mark.parametrize("content", [
    b"", b"MThd", b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0\xff\0", os.urandom(200), b"RIFF" + bytes(50)])
def test_hostile_midi(home, tmp_path, content):
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs/bad.mid").write_bytes(content)
    one_line(gru_study("train", "--data", tmp_path / "songs"), "bad.mid")
    assert not any(home.rglob("*"))


def test_paths_mean_one_thing(tmp_path, toy, monkeypatch):
    "A relative path is that of the current folder, also when the study's home has the same name"
    import shutil
    from gru_study.rolls import MusicData
    from gru_study.sets import to_npz
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    shutil.copy(toy, project / "rolls.npz")
    (project / "sub/rolls.npz").write_bytes(to_npz(MusicData("x", [np.eye(5, 88)], [np.eye(5, 88)], [np.eye(5, 88)])))
    env = dict(GRU_STUDY_HOME=str(project))
    done = gru_study("train", "--data", "../rolls.npz", "--epoch", 1, "--hidden", 4, cwd=project / "sub", **env)
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "exp/music_lm/rolls/gru/result.json").read_text())["summary"].startswith(
        "rolls: 42 sequences")
    assert gru_study("train", "--data", "rolls.npz", "--epoch", 1, "--hidden", 4, cwd=project, **env).returncode == 0


def test_own_data_is_not_passed_off(home, toy, tmp_path):
    toy.rename(tmp_path / "JSB.npz")
    done = gru_study("train", "--data", "./JSB.npz", "--epoch", 1, "--hidden", 4, cwd=tmp_path)
    assert done.returncode == 0 and "on own JSB: NLL" in done.stdout


def test_damaged_run_files(home, toy):
    words = ["train", "--data", toy, "--epoch", 1, "--hidden", 4, "--save_dir", "a"]
    assert gru_study(*words).returncode == 0
    for name, content in (("result.json", '{"config": 3}'), ("result.json", "[]"), ("config.json", "{"),
            ("config.json", '{"lr": -1}')):
        good = (home / "exp/a" / name).read_text()
        (home / "exp/a" / name).write_text(content)
        one_line(gru_study(*words), f"{name}: ")
        (home / "exp/a" / name).write_text(good)
    (home / "log/a/metrics.csv").unlink()
    one_line(gru_study("report", "--under", "a"), "metrics.csv: cannot be read")


def test_a_folder_of_midi_trains(home, tmp_path):
    from gru_study.midi import write_midi
    from gru_study.music import load_chorales
    for i, roll in enumerate(load_chorales().test[:10]): write_midi(roll, tmp_path / f"songs/{i}.mid")
    done = gru_study("train", "--data", tmp_path / "songs", "--epoch", 1)
    assert done.returncode == 0, done.stderr
    assert json.loads((home / "exp/music_lm/songs/gru/result.json").read_text())["summary"].startswith(
        "songs: 10 sequences (8/1/1)")


def test_a_cell_of_ones_own(home, toy, tmp_path):
    (tmp_path / "mine.py").write_text('from gru_study.cells import cell, linear, torch\n\n@cell("state")\n'
        'def relu(wx, h, U, b): return torch.relu(wx + linear(h, U, b))\n')
    done = gru_study("train", "--rnn", "mine.py:relu", "--data", toy, "--epoch", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((home / "exp/music_lm/toy/relu/result.json").read_text())
    # n(n + 100.5) is nearest to GRU-46's 20,217 at 101: 20,351 against 20,050 at 100
    assert (result["cell"], result["units"]) == ("relu", 101)
    assert gru_study("evaluate", "music_lm/toy/relu", "--trust", "mine.py", cwd=tmp_path).returncode == 0


def test_several_sequences_a_batch_and_all_settings(home, toy):
    done = gru_study("train", "--data", toy, "--bs", 4, "--rnn", "lstm_paper", "--layers", 2, "--hidden", 6,
        "--optim", "adamw", "--wd", 0.01, "--lr", 0.01, "--weight_noise", 0.01, "--patience", 2,
        "--train_subset", 20, "--valid_subset", 3, "--tensorboard", "--epoch", 3, "-v")
    assert done.returncode == 0, done.stderr
    assert any((home / "log/music_lm/toy/lstm_paper").glob("events.out.*"))


def test_help_loads_no_torch():
    code = ("import sys; from gru_study.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "main(['train', '--rnn', 'x'])\n"
        "assert not {'torch', 'papermill', 'spacy', 'pandas', 'plotly', 'music21'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--weight_noise" in done.stdout


def original(*more):
    "The study's original command line"
    words = ("-m train --task music_lm --rnn gru --data JSB --bs 1 --epoch 500 --lr 0.001 --optim rmsprop --clip 1.0 "
        "--loss bce --save_dir music/jsb/gru -v").split()
    return subprocess.run([sys.executable, *words, *more], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.real_data
def test_the_original_command(home):
    "As written but for the number of epochs"
    done = original("--epoch", "2")
    assert done.returncode == 0, done.stderr
    lines = [l for l in done.stdout.splitlines() if l.startswith("epoch ")]
    assert len(lines) == 2 and all(w in lines[0] for w in ("train loss", "valid loss", "NLL"))
    assert (home / "exp/music/jsb/gru/result.json").is_file()
    assert (home / "log/music/jsb/gru/metrics.csv").read_text().count("\n") == 3
    config = json.loads((home / "exp/music/jsb/gru/config.json").read_text())
    assert [config[k] for k in ("weight_noise", "patience", "mtm")] == [0, 0, 0]


def test_the_original_command_is_understood():
    assert "--save_dir" in original("--help").stdout


def test_the_original_command_from_a_bare_python(tmp_path):
    "A Python without the packages hands over to .venv where there is one, and says what to do where there is none"
    import shutil
    bare = [f"{sys.base_prefix}/bin/python3", "-S", "-m", "train", "--help"]
    if (ROOT / ".venv/bin/python").exists():
        assert "--save_dir" in subprocess.run(bare, cwd=ROOT, capture_output=True, text=True).stdout
    shutil.copy(ROOT / "train.py", tmp_path)
    alone = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode == 1 and "run 'make setup' first" in alone.stderr and len(alone.stderr.splitlines()) == 1


def test_one_home_wherever_started(tmp_path, toy):
    "A run started in the root of a project is found from a folder inside it, and from a papermill kernel"
    (tmp_path / "project/nbs/deep").mkdir(parents=True)
    (tmp_path / "project/settings.ini").write_text("[DEFAULT]\n")
    env = {k: v for k, v in os.environ.items() if k != "GRU_STUDY_HOME"}
    words = ["train", "--data", str(toy), "--epoch", "2", "--hidden", "5"]
    code = "import sys; from gru_study.cli import main; sys.exit(main())"
    run = lambda cwd: subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, env=env, capture_output=True,
        text=True)
    assert run(tmp_path / "project").returncode == 0
    result = tmp_path / "project/exp/music_lm/toy/gru/result.json"
    stamp = result.stat().st_mtime_ns
    for cwd in ("project/nbs", "project/nbs/deep"): assert run(tmp_path / cwd).returncode == 0
    notebook = [sys.executable, "-m", "papermill", str(ROOT / "nbs/experiments/music_lm.ipynb"), "out.ipynb",
        "-p", "data", str(toy), "-p", "epoch", "2", "-p", "hidden", "5", "--no-progress-bar"]
    done = subprocess.run(notebook, cwd=tmp_path / "project/nbs", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert result.stat().st_mtime_ns == stamp
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("exp")] == ["project/exp"]
