"Networks in a browser: what a page computes, beside the networks of torch and numpy, in Chromium."
import json

import numpy as np
import pytest
import torch
from conftest import ROOT

from gru_study import gallery  # noqa: F401, registers its cells
from gru_study.beam import translate
from gru_study.cells import CELLS, Recurrent
from gru_study.composing import load_model
from gru_study.folder import find_run
from gru_study.music import load_music
from gru_study.sampling import below, sample_music
from gru_study.script import write_cells, write_network
from gru_study.tokens import tokenizer

SHIPPED = "tanh", "lstm", "gru"


@pytest.fixture(scope="module")
def page(browser):
    "An empty page with the scripts of a site, all cells, and the shipped networks"
    page = browser.new_page()
    texts = [(ROOT / "gru_study/assets/networks.js").read_text(), write_cells(CELLS.values())]
    texts += [write_network(find_run(f"pretrained/{data}/{rnn}"), f"{data}/{rnn}")
        for data in ("chorales", "captions_de_en") for rnn in SHIPPED]
    page.set_content("<meta charset=utf-8>" + "".join(f"<script>{t}</script>" for t in texts))
    yield page
    page.close()


def test_steps_of_all_cells(page):
    "Ten steps of each cell, with other weights each time, are those of the step function in torch"
    torch.manual_seed(0)
    for name, cell in CELLS.items():
        layer, x = Recurrent(cell, 5, 7).double(), torch.randn(1, 10, 5, dtype=torch.float64)
        hidden, ends = layer(x)
        weights = {k: v.detach().flatten().tolist() for k, v in layer.named_parameters()}
        found = page.evaluate("""([cell, weights, x]) => {
            const arrays = Object.fromEntries(Object.entries(weights).map(([k, v]) => [k, Float64Array.from(v)]));
            const layers = new gruStudy.Layers(cell, arrays, "");
            let state = layers.begin();
            const hidden = x.map((row) => (state = layers.step(row, state))[0][0]);
            return [hidden.map((h) => [...h]), state[0].map((s) => [...s])];
        }""", [name, weights, x[0].tolist()])
        np.testing.assert_allclose(found[0], hidden[0].detach(), rtol=0, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(found[1], torch.stack(ends)[:, 0, 0].detach(), rtol=0, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("rnn", SHIPPED)
def test_expects_the_same_notes(page, rnn):
    "The logits of every note of a test chorale, to 1e-5 of torch's"
    roll, model = load_music("chorales").test[3], load_model(find_run(f"pretrained/chorales/{rnn}"))
    with torch.no_grad(): outputs, _ = model(torch.tensor(roll[None]).float())
    found = page.evaluate("""([name, roll]) => {
        const net = gruStudy.networks[name];
        let state = net.begin(), outputs;
        return roll.map((frame) => { ({ state, outputs } = net.step(frame, state)); return [...outputs]; });
    }""", [f"chorales/{rnn}", roll.tolist()])
    np.testing.assert_allclose(found, outputs[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rnn", SHIPPED)
def test_composes_the_same(page, rnn):
    "Where chance has no say (temperature 0), the same music: freely, after a beginning, and under a melody"
    model, roll = load_model(find_run(f"pretrained/chorales/{rnn}")), load_music("chorales").test[3]
    for asked, own in (
        ({}, {}), ({"begin": roll[:8].tolist()}, {"seed_frames": roll[:8]}),
        ({"begin": roll[:8].tolist(), "most": 3}, {"seed_frames": roll[:8], "most_notes": 3}),
        ({"fixed": below(roll[:32]).tolist()}, {"fixed": below(roll[:32])})):
        found = page.evaluate("([name, asked]) => [...gruStudy.networks[name].sample(asked)].map((f) => [...f])",
            [f"chorales/{rnn}", {"steps": 32, "temperature": 0, **asked}])
        np.testing.assert_array_equal(found, sample_music(model, 32, temperature=0, **own)[0])


@pytest.mark.parametrize("rnn", SHIPPED)
def test_translates_the_same(page, rnn):
    "Greedily and by beam: the tokens, the score and where each word was looked at"
    from gru_study.corpora import load_text
    from gru_study.translating import load_translator
    sentences = list(load_text("captions_de_en")["test"].source[:25]) + ["Ein Zebra schläft."]
    model, fields = load_translator(find_run(f"pretrained/captions_de_en/{rnn}"))
    for beam in (1, 5):
        found = page.evaluate("""([name, sentences, beam]) => sentences.map((s) => {
            const net = gruStudy.networks[name], t = net.translate(gruStudy.tokens(s), { beam });
            return { ...t, text: gruStudy.sentence(t.tokens), looked: t.looked.map((row) => [...row]) };
        })""", [f"captions_de_en/{rnn}", sentences, beam])
        for ours, (torchs, *_) in zip(found, translate(model, fields, sentences, beam=beam)):
            assert ours["tokens"] == torchs.tokens and ours["text"] == torchs.text
            assert ours["unknown"] == list(torchs.unknown)
            assert ours["score"] == pytest.approx(torchs.score, abs=1e-5)
            np.testing.assert_allclose(ours["looked"], torchs.attention, rtol=0, atol=1e-5)


def test_splits_like_spacy(page):
    "All sentences of the shipped captions"
    from gru_study.corpora import load_text
    text = load_text("captions_de_en")
    lines = [s for part in (text.train, text.valid, *text.tests.values()) for s in part.source]
    found = page.evaluate("(lines) => lines.map(gruStudy.tokens)", lines)
    assert found == [[*map(str, tokenizer("de")(line))] for line in lines]


def test_chance_is_fair(page):
    "A network's samples have as many notes as torch's, within the error of the mean; another seed is another piece"
    name, model = "chorales/gru", load_model(find_run("pretrained/chorales/gru"))
    ours = page.evaluate("""(name) => Array.from({ length: 40 }, (_, seed) =>
        [...gruStudy.networks[name].sample({ steps: 64, seed })].map((f) => [...f]))""", name)
    assert len({json.dumps(piece) for piece in ours}) == 40
    ours, torchs = np.array(ours).sum((1, 2)), sample_music(model, 64, n=40, seed=1).sum((1, 2), dtype=int)
    assert abs(ours.mean() - torchs.mean()) < 4 * np.hypot(ours.std(), torchs.std()) / 40**0.5
    melody = below(load_music("chorales").test[3][:32])
    found = np.array(page.evaluate("""([name, fixed]) =>
        [...gruStudy.networks[name].sample({ steps: 32, fixed, particles: 16, most: 4, seed: 7 })].map((f) => [...f])
    """, [name, melody.tolist()]))
    assert (found[melody > 0] == 1).all() and (found[melody < 0] == 0).all() and found.sum(1).max() <= 4
    assert json.dumps(found.tolist()) != json.dumps((melody > 0).astype(int).tolist())
