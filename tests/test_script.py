"Networks in a browser: what a page computes, beside the networks of torch and numpy, in Chromium."
import base64
import io
import json
import random
from xml.etree import ElementTree

import mido
import numpy as np
import pytest
import torch
from conftest import ROOT
from playwright.sync_api import expect

from gru_study import gallery  # noqa: F401, registers its cells
from gru_study.beam import translate
from gru_study.cells import CELLS, Recurrent
from gru_study.composing import load_model
from gru_study.folder import find_run
from gru_study.inside import look_inside
from gru_study.midi import midi_pieces
from gru_study.music import load_music
from gru_study.sampling import below, sample_music
from gru_study.script import equations, named, write_cells, write_network
from gru_study.tokens import tokenizer
from gru_study.trace import trace

SHIPPED = "tanh", "lstm", "gru"


@pytest.fixture(scope="module")
def page(browser):
    "An empty page with the scripts of a site, all cells, and the shipped networks"
    page = browser.new_page()
    texts = [(ROOT / f"gru_study/assets/{name}.js").read_text() for name in ("networks", "sound", "roll")]
    texts.append(write_cells(CELLS.values()))
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


def test_has_the_same_in_mind(page):
    "While a piece sounds: gates and states of each unit, and the probability of each note of the next frame"
    roll, model = load_music("chorales").test[3], load_model(find_run("pretrained/chorales/gru"))
    found = page.evaluate("""([roll]) => {
        const net = gruStudy.networks["chorales/gru"], chances = net.chances;
        net.chances = (outputs) => chances.call(net, outputs, 512);
        const minds = net.replay(roll).map(({ seen, p }) => [seen.map((v) => [...v]), [...p]]);
        delete net.chances;
        return minds;
    }""", [roll.tolist()])
    seen = dict(zip(named(trace(CELLS["gru"])).values(), np.array([s for s, _ in found]).transpose(1, 0, 2)))
    with torch.no_grad(): hidden, _ = model.rnn(torch.tensor(roll[None]).float())
    np.testing.assert_allclose(seen.pop("h′"), hidden[0], rtol=0, atol=1e-5)
    gates = look_inside(model, roll).gates
    assert seen.keys() == gates.keys() == {"reset", "update", "candidate"}
    for name, values in gates.items(): np.testing.assert_allclose(seen[name], values, rtol=0, atol=1e-5)
    with torch.no_grad(): expected = model.head.chances(model(torch.tensor(roll[None]).float())[0][0], 4096)
    np.testing.assert_allclose([p for _, p in found], expected, rtol=0, atol=0.07)  # a mean over 512 chords
    thresholds = torch.randn(20, 88, generator=torch.Generator().manual_seed(2)) * 2
    with torch.no_grad(): outputs = model(torch.tensor(roll[None, :20]).float())[0][0]
    chords, logits = model.head.draw(outputs, thresholds)
    drawn = page.evaluate("""([outputs, thresholds]) => outputs.map((o, t) => {
        const { frame, logits } = gruStudy.networks["chorales/gru"].draw(Float64Array.from(o), thresholds[t]);
        return [[...frame], [...logits]];
    })""", [outputs.tolist(), thresholds.tolist()])
    assert [f for f, _ in drawn] == chords.int().tolist() and chords.any()
    np.testing.assert_allclose([z for _, z in drawn], logits.detach(), rtol=0, atol=1e-5)
    free = page.evaluate("gruStudy.networks['chorales/gru'].chances.call({ weights: {} }, [0, 1])")
    np.testing.assert_allclose(free, [0.5, 1/(1 + np.exp(-1))])


class Product:
    "What stands before a vector in an equation"
    def __init__(self, matrix, bias=0.): self.matrix, self.bias = matrix, bias
    def __pow__(self, vector): return vector @ self.matrix.T + self.bias


def both(a, b, choose): return choose(*(torch.as_tensor(v, dtype=torch.float64) for v in (a, b)))


@pytest.mark.parametrize("name", CELLS)
def test_equations_say_what_a_step_does(name):
    "Each line, taken as arithmetic, gives the states of the step function"
    torch.manual_seed(1)
    cell, rnn = CELLS[name], Recurrent(CELLS[name], 5, 7).double()
    W, U, b, *more = rnn.layer(0)
    x, old = torch.randn(3, 5).double(), torch.randn(cell.states, 3, 7).double().abs()
    lines, t = [], trace(cell)
    with torch.no_grad():
        expected = cell(torch.nn.functional.linear(x, W, b), tuple(old), U, *more)
        gates = cell.gates if len(cell.gates) > 1 else [""]
        bias, *vectors = more
        known = dict(zip("hcnm", old), x=x, units=7,
            b=[None, *bias.split(7)], p=[None, *(v for V in vectors for v in V)],
            W={g: Product(w, c) for g, w, c in zip(gates, W.split(7), b.split(7))},
            U={g: Product(u, c) for g, u, c in zip(gates, U.split(7), bias.split(7))}, abs=abs,
            σ=torch.sigmoid, tanh=torch.tanh, relu=torch.relu, exp=torch.exp, sqrt=torch.sqrt,
            softplus=torch.nn.functional.softplus, Σ=lambda v: v.sum(-1, keepdim=True),
            max=lambda a, b: both(a, b, torch.maximum), min=lambda a, b: both(a, b, torch.minimum))
        for line, words in equations(t).items():
            said = "".join(f'{text}["{of}"]**' if text in "WU" else f"{text}[{of}]" if of.isdigit() else text
                for text, of in words).replace("** ", "**").replace("W x", 'W[""]**x').replace("U ", 'U[""]**')
            said = said.replace("⊙", "*").replace("−", "-").replace("′", "_new")
            known[line.replace("′", "_new")] = eval(said, {"__builtins__": {}}, known)
            lines.append(said)
    for k, state in zip("hcnm", expected):
        torch.testing.assert_close(known[f"{k}_new"], state, rtol=1e-12, atol=1e-12, msg=lambda m: f"{lines}: {m}")


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


def as_bytes(page, call, *given):
    "What a function of a page writes, as bytes"
    return base64.b64decode(page.evaluate(f"(given) => btoa(String.fromCharCode(...({call})(...given)))", given))


PIECE = """(roll, given, step) => ({ frames: roll, step, tempo: 96, name: "a & <b>", isGiven: (t) => t < given })"""


@pytest.mark.parametrize("step", [0.25, 0.5, 1, 2])
def test_writes_midi(page, tmp_path, step):
    "mido finds the notes in two tracks, what was given and what was made; the package reads the same roll"
    roll = np.random.default_rng(1).random((40, 88)) < 0.1
    roll[-1, 40] = True
    content = as_bytes(page, f"(...a) => gruStudy.toMidi(({PIECE})(...a))", roll.astype(int).tolist(), 8, step)
    file = mido.MidiFile(file=io.BytesIO(content))
    assert (file.type, [t.name for t in file.tracks]) == (1, ["a & <b>", "given", "made"])
    begins = [sum(m.time for m in t[:i]) for t in file.tracks[1:2] for i, m in enumerate(t, 1) if m.type == "note_on"]
    assert max(begins) < 8 * step * file.ticks_per_beat
    assert file.length == pytest.approx(40 * step * 60 / 96)
    (path := tmp_path / "written.mid").write_bytes(content)
    np.testing.assert_array_equal(midi_pieces(path, step)[0][0], roll)


def some_midi(chance):
    "A file as nobody would write it: notes that overlap, hang, and have no length; drums; bends; a tempo amid it"
    file = mido.MidiFile(type=1, ticks_per_beat=chance.choice((96, 480, 1000)))
    for _ in range(chance.randrange(1, 4)):
        file.tracks.append(track := mido.MidiTrack())
        for _ in range(chance.randrange(60)):
            kind = chance.choice(("note_on", "note_on", "note_off", "note_off", "pitchwheel", "program_change", "meta"))
            time, channel = chance.choice((0, 0, 100, 240, 333)), chance.choice((0, 1, 9))
            note = dict(note=chance.choice((5, 60, 61, 64, 120)), velocity=chance.choice((0, 64)))
            track.append(mido.MetaMessage("set_tempo", tempo=400_000, time=time) if kind == "meta"
                else mido.Message(kind, channel=channel, time=time, **note if "note" in kind else {}))
    return file


def test_reads_midi(page, tmp_path):
    "A hundred odd files are read as the package reads them; what is damaged is told in a sentence"
    chance, read = random.Random(3), """([text, step]) => {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        try { return gruStudy.fromMidi(bytes.buffer, step).map((f) => [...f]); } catch (error) { return error.message; }
    }"""
    found = lambda content, step: page.evaluate(read, [base64.b64encode(content).decode(), step])
    full = 0
    for i in range(100):
        some_midi(chance).save(path := tmp_path / f"{i}.mid")
        (own, _), = midi_pieces(path, step := chance.choice((0.25, 0.5, 1)))
        if not own.any(): assert found(path.read_bytes(), step) == "this file has no notes of a piano"
        else: np.testing.assert_array_equal(found(path.read_bytes(), step), own)
        full += own.any()
    assert full > 50
    content = path.read_bytes()
    for end in range(len(content) - 4): assert isinstance(found(content[:end], 1), str | list)
    assert found(content[:20], 1) == "this file cannot be read as MIDI: it ends too early"
    assert found(b"RIFF" + content[4:], 1) == "this file cannot be read as MIDI: it does not begin with MThd"
    assert found(content[:9] + b"\2" + content[10:], 1).endswith("it holds several pieces (type 2)")
    assert found(content[:12] + b"\xe7\x28" + content[14:], 1).endswith("does not count ticks of a quarter note")
    assert found(bytes(2**20 + 1), 1) == "the file has 1048577 bytes; at most 1048576 are read"


@pytest.mark.parametrize("step", [0.25, 0.5, 1, 2])
def test_writes_musicxml(page, step):
    "Read again by hand, note by note with its ties, it is the same roll; bars are full, the name is text"
    roll = np.random.default_rng(2).random((37, 88)) < 0.08
    text = page.evaluate(f"(given) => gruStudy.toMusicXml(({PIECE})(...given))", [roll.astype(int).tolist(), 8, step])
    root, found, now = ElementTree.fromstring(text), np.zeros((round(37 * 4 * step), 88), bool), 0
    assert root.find("work/work-title").text == "a & <b>"
    bars = [*root.iter("measure")]
    for bar in bars:
        begin = at = now
        for e in bar:
            if e.tag == "backup": at -= int(e.find("duration").text)
            if e.tag != "note": continue
            size = int(e.find("duration").text)
            if e.find("chord") is not None: at -= size
            if (pitch := e.find("pitch")) is not None:
                name, octave, alter = pitch.find("step").text, int(pitch.find("octave").text), pitch.find("alter")
                key = 12 * octave + "C D EF G A B".index(name) + (int(alter.text) if alter is not None else 0) - 9
                assert (e.find("staff").text == "1") == (key >= 39)
                tied = {t.attrib["type"] for t in e.iter("tie")}
                before, after = (0 <= t < len(roll) and roll[t, key] for t in
                    (int(at / 4 / step) - 1, int((at + size) / 4 / step)))
                if (at / 4 / step).is_integer(): assert ("stop" in tied) == before
                if ((at + size) / 4 / step).is_integer(): assert ("start" in tied) == after
                found[at:at + size, key] = True
            at += size
        assert at - begin == 16 or bar is bars[-1]
        now = at
    np.testing.assert_array_equal(found[::round(4 * step)], roll)


def test_keeps_a_page(page, browser):
    "One file that shows and plays a piece without a network; what its name holds is text"
    roll = load_music("chorales").test[0][:12]
    text = page.evaluate(f"""(given) => gruStudy.keepPage({{ ...({PIECE})(...given), title: "GRU", colour: "#0072b2",
        name: "</script><b>", made: "<i>how" }})""", [roll.tolist(), 4, 1])
    kept, complaints = browser.new_page(), []
    kept.on("pageerror", lambda e: complaints.append(str(e)))
    kept.set_content(text)
    assert kept.locator("h1").text_content() == "</script><b>" and kept.locator("p").first.text_content() == "<i>how"
    given = kept.locator("rect[fill='#8a9099']").count()
    assert given and kept.locator("rect[fill='#0072b2']").count() and kept.locator("main i, main b").count() == 0
    kept.get_by_text("▶ Play").click()
    kept.wait_for_function("parseFloat(document.querySelector('.gru-roll-head').style.left) > 60")
    assert complaints == []
    kept.close()


LATE = """() => { // a shelf whose networks come when the test says so
    document.body.innerHTML = "<div id=app></div>";
    const asked = globalThis.asked = [], held = {}, place = document.querySelector("#app");
    const about = { colour: "#000", data: "chorales" };
    const networks = ["tanh", "lstm", "gru"].map((cell) => ({ name: cell, label: cell, cell, ...about }));
    const network = (cell) => new Promise((done) => {
        asked.push(cell);
        held[cell] = () => done(gruStudy.networks[`chorales/${cell}`]);
    });
    const music = async () => ({ step: 1, pieces: { a: Array(32).fill([40, 44]) } });
    globalThis.begin = (app) => { gruStudy.apps[app](place, { networks, network, music }); };
    globalThis.come = (cell) => { held[cell](); delete held[cell]; };
}"""


def test_the_newest_wish_is_what_is_shown(page):
    "A network that comes late does not take the place of one asked for after it; what is overtaken is not drawn"
    page.evaluate((ROOT / "gru_study/assets/play.js").read_text())
    page.evaluate(LATE)
    title, heard = page.locator("#app .gru-drawn title").first, page.get_by_label("heard as it was")
    wanted = lambda *cells: page.wait_for_function("(cells) => asked.join() == cells", arg=",".join(cells))
    come = lambda cell: page.evaluate("come", cell)
    page.evaluate("begin('learn')")
    wanted("gru")
    heard.fill("1")
    heard.fill("0")
    page.evaluate("begin('learn')")  # more was learned meanwhile: the wish is kept
    expect(heard).to_have_value("0")
    come("gru")
    wanted("gru", "tanh")
    expect(title).to_contain_text("gru")
    come("tanh")
    expect(title).to_contain_text("tanh")
    page.evaluate(LATE)
    page.evaluate("begin('compose')")
    wanted("tanh")
    come("tanh")
    expect(title).to_contain_text("tanh")
    page.get_by_label("network").select_option("gru")
    wanted("tanh", "gru")
    page.get_by_label("network").select_option("tanh")
    page.wait_for_timeout(200)
    assert page.evaluate("asked") == ["tanh", "gru"]
    come("gru")
    wanted("tanh", "gru", "tanh")
    expect(title).to_contain_text("gru")
    come("tanh")
    expect(title).to_contain_text("tanh")
