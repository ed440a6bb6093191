"Facts about the real files, from the design's tables and from the files themselves."
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, gru_study

from gru_study.base import SPLITS, asset
from gru_study.metrics import Unigram, baseline_scores
from gru_study.music import CANONICAL, load_chorales, load_music

FACTS = json.loads(asset("datasets.json").read_text())["music_lm"]
FOUR = ("JSB", "Nottingham", "MuseData", "Piano-midi")  # whose baselines are known from elsewhere
UNIGRAM_ALL = dict(zip(FOUR, (11.061, 10.252, 11.510, 11.046)))  # over all frames
UNIGRAM = dict(zip(FOUR, (11.093, 10.261, 11.514, 11.052)))  # over frames t >= 1
MARKOV = dict(zip(FOUR, (10.492, 5.153, 8.559, 8.264)))

pytestmark = pytest.mark.real_data


@pytest.mark.parametrize("name", CANONICAL)
def test_counts(name):
    data = load_music(name)
    assert [len(data[s]) for s in SPLITS] == FACTS[name]["sequences"]
    assert [sum(map(len, data[s])) for s in SPLITS] == FACTS[name]["frames"]
    notes = [sum(int(r.sum()) for r in data[s]) / sum(map(len, data[s])) for s in SPLITS]
    assert np.round(notes, 3).tolist() == FACTS[name]["notes_per_frame"]


@pytest.mark.parametrize("name", CANONICAL)
def test_sequences_that_are_there_twice_are_named(name):
    "Each, with its twin, is among the faults that we tell; two of Nottingham's cross the splits"
    data, first, told = load_music(name), {}, "; ".join(FACTS[name].get("faults", []))
    for split in SPLITS:
        for i, roll in enumerate(data[split]):
            twin = first.setdefault((len(roll), roll.tobytes()), f"{split}[{i}]")
            assert twin == f"{split}[{i}]" or f"{split}[{i}] is {twin}" in told


@pytest.mark.parametrize("name", FOUR)
def test_baselines(name):
    data = load_music(name)
    scores = baseline_scores(data.train, data.test)
    assert round(scores["unigram"].nll, 3) == UNIGRAM[name]
    assert round(scores["Markov"].nll, 3) == MARKOV[name]
    p, y = Unigram(data.train).p.double().numpy(), np.concatenate(data.test)
    assert round(-np.log(np.where(y, p, 1 - p)).sum(1).mean(), 3) == UNIGRAM_ALL[name]


def test_the_four_are_canonical():
    assert tuple(CANONICAL)[:4] == FOUR and FACTS["all"]["parts"] == [*FOUR]


def test_all_joins_the_four():
    expected = np.sum([FACTS[name]["sequences"] for name in FOUR], 0).tolist()
    assert [len(load_music("all")[s]) for s in SPLITS] == expected


def test_chorales_beside_jsb():
    import csv
    jsb, chorales = load_music("JSB"), load_chorales()
    rows = list(csv.DictReader(asset("chorales.csv").open()))
    ours = {s: iter(chorales[s]) for s in SPLITS}
    pairs = [(jsb[r["split"]][int(r["index"])], next(ours[r["split"]])) for r in rows]
    assert len(pairs) == 377
    assert sum(len(a) for a, _ in pairs) == sum(len(b) for _, b in pairs) == 22_816
    assert sum(int((a == b).all(1).sum()) for a, b in pairs) == 21_690
    assert sum(np.array_equal(a, b) for a, b in pairs) == 114


def test_wrong_hash_is_refused(tmp_path):
    (tmp_path / "music").mkdir()
    spoiled = bytearray(Path(DATA, "music/JSB_Chorales.mat").read_bytes())
    spoiled[1000] ^= 1
    (tmp_path / "music/JSB_Chorales.mat").write_bytes(spoiled)
    for name, sentence in (("JSB", "its SHA-256 is"), ("MuseData", "does not exist")):
        done = gru_study("data", name, GRU_STUDY_DATA=str(tmp_path))
        assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_gru_on_jsb_reaches_its_score(home):
    "GRU-46, rmsprop 1e-3, clip 1, batches of one: at most 8.60 within 60 epochs; torch.nn.GRU agrees on its weights"
    import torch
    from safetensors.torch import load_file
    from scipy.io import loadmat

    done = gru_study("train", "--data", "JSB", "--epoch", "60", "--save_dir", "jsb")
    assert done.returncode == 0, done.stderr
    result = json.loads((home / "exp/jsb/result.json").read_text())
    print(done.stdout)
    assert result["test"]["nll"] <= 8.60

    weights = load_file(home / "exp/jsb/model.safetensors")
    gru, readout = torch.nn.GRU(88, 46, batch_first=True), torch.nn.Linear(46, 88)
    gru.load_state_dict({k.removeprefix("rnn."): v for k, v in weights.items() if k.startswith("rnn.")})
    readout.load_state_dict({k.removeprefix("readout."): v for k, v in weights.items() if k.startswith("readout.")})
    total = frames = 0
    for roll in loadmat(Path(DATA, "music/JSB_Chorales.mat"))["testdata"][0]:
        x = torch.tensor(roll.astype(np.float32))[None]
        with torch.no_grad():
            p = torch.sigmoid(readout(gru(x[:, :-1])[0])).double()
        y = x[:, 1:].double()
        total -= (y * p.log() + (1 - y) * (1 - p).log()).sum().item()
        frames += y.shape[1]
    assert abs(total / frames - result["test"]["nll"]) < 1e-4
