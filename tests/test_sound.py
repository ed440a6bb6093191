"""Music that is written: read back by other programs, heard by other programs, sampled by the command.

And the shipped models that it comes from.
"""
import io
import wave

import numpy as np
import pretty_midi
import pytest
from conftest import gru_study
from hypothesis import given, settings, strategies as st
from music21 import midi
from scipy.io import wavfile
from test_commands import one_line

from gru_study.base import asset
from gru_study.beam import translate
from gru_study.composing import load_model
from gru_study.folder import find_run, pretrained
from gru_study.metrics import evaluate_music
from gru_study.midi import read_midi, to_midi, write_midi
from gru_study.music import load_chorales
from gru_study.runs import history
from gru_study.sampling import sample_music
from gru_study.sets import from_npz
from gru_study.synthesis import to_wav
from gru_study.translating import load_translator

MUSIC = [r.save_dir for r in pretrained("music_lm")]
frames_of = st.lists(st.sets(st.integers(0, 87), max_size=6), min_size=1, max_size=20).filter(any)
rolls = frames_of.map(lambda frames: np.array([[k in f for k in range(88)] for f in frames], np.uint8))


def notes_of(roll, step):
    "(MIDI number, onset, duration in quarter notes) of each held note, by walking along each key"
    found = []
    for key in range(88):
        start = None
        for t, on in enumerate([*roll[:, key], 0]):
            if on and start is None: start = t
            if not on and start is not None:
                found.append((key + 21, start*step, (t - start)*step))
                start = None
    return sorted(found)


def until_silence(roll): return roll[:np.flatnonzero(roll.any(1))[-1] + 1]


@settings(max_examples=60, deadline=None)
@given(rolls, st.sampled_from([0.01, 0.25, 1/3, 0.5, 1, 4]), st.floats(4, 400))
def test_a_roll_comes_back_from_midi(tmp_path_factory, roll, step, tempo):
    path = write_midi(roll, tmp_path_factory.getbasetemp() / "back.mid", step, tempo)
    assert np.array_equal(read_midi(path, step), until_silence(roll))


@settings(max_examples=40, deadline=None)
@given(rolls, st.sampled_from([0.25, 0.5, 1, 2]), st.floats(30, 240))
def test_pretty_midi_reads_the_same_notes(roll, step, tempo):
    read = pretty_midi.PrettyMIDI(io.BytesIO(to_midi(roll, step, tempo)))
    (piano,) = read.instruments
    found = sorted((n.pitch, n.start*tempo/60, (n.end - n.start)*tempo/60) for n in piano.notes)
    assert np.allclose(found, notes_of(roll, step), atol=1e-3) and piano.program == 0 and not piano.is_drum
    assert np.allclose(read.get_tempo_changes()[1], tempo, rtol=1e-4)


def music21_notes(data):
    "What music21's reader finds in a MIDI file (its scores make one chord of one length of notes that begin together)"
    file = midi.MidiFile()
    file.readstr(data)
    events = [e for track in file.tracks
        for e in midi.translate.getNotesFromEvents(midi.translate.getTimeForEvents(track))]
    return sorted((e.event.pitch, e.onTime/file.ticksPerQuarterNote, (e.offTime - e.onTime)/file.ticksPerQuarterNote)
        for e in events)


@settings(max_examples=40, deadline=None)
@given(rolls, st.sampled_from([0.25, 0.5, 1]))
def test_music21_reads_the_same_notes(roll, step):
    assert np.allclose(music21_notes(to_midi(roll, step)), notes_of(roll, step), atol=1e-3)


def test_a_chorale_for_others(tmp_path):
    "A whole piece by Bach, from our roll, in the eyes of two other programs and of ours"
    roll = load_chorales().sequence("bwv60.5")
    path = write_midi(roll, tmp_path / "bach.mid", 1, 80)
    assert np.allclose(music21_notes(path.read_bytes()), notes_of(roll, 1), atol=1e-3)
    found = sorted((n.pitch, n.start*80/60, (n.end - n.start)*80/60)
        for n in pretty_midi.PrettyMIDI(str(path)).instruments[0].notes)
    assert np.allclose(found, notes_of(roll, 1), atol=1e-3)
    assert np.array_equal(read_midi(path, 1), roll)


@pytest.mark.parametrize("step,tempo,rate", [(1, 96, 22050), (0.5, 61.7, 44100)])
def test_sound_of_a_chorale(step, tempo, rate):
    "Not silent, not clipped, of the right length"
    roll = load_chorales().test[1]
    data = to_wav(roll, step, tempo, rate)
    found, x = wavfile.read(io.BytesIO(data))
    assert found == rate and x.dtype == np.int16 and x.ndim == 1
    assert abs(len(x) - len(roll)*step*60/tempo*rate) <= 1
    assert 0.8*32767 < abs(x.astype(int)).max() < 32767 and (x/32768.).std() > 0.02
    second = x[:len(x)//rate*rate].reshape(-1, rate)/32768.
    assert (second.std(1) > 0.01).all()  # it sounds in every second
    with wave.open(io.BytesIO(data)) as w:
        assert (w.getframerate(), w.getnframes(), w.getnchannels()) == (rate, len(x), 1)


@pytest.mark.parametrize("note", range(21, 109, 6))
def test_a_note_has_its_pitch(note):
    roll = np.zeros((4, 88))
    roll[:, note - 21] = 1
    rate, x = wavfile.read(io.BytesIO(to_wav(roll)))
    spectrum = abs(np.fft.rfft(x*np.hanning(len(x))))
    assert abs(spectrum.argmax()*rate/len(x) - 440*2**((note - 69)/12)) < rate/len(x)


@pytest.mark.parametrize("run", MUSIC)
def test_samples_have_as_many_notes_as_the_corpus(run):
    "20,000 frames: chance is less than a hundredth"
    corpus = np.concatenate(load_chorales().train).sum(1).mean()
    sampled = sample_music(load_model(find_run(run)), 100, n=200).sum(2).mean()
    assert abs(sampled/corpus - 1) < 0.1, (sampled, corpus)


def sample(*words, **more): return gru_study("sample", *words, **more)


def test_sample_writes_each_format(home, tmp_path):
    """One piece under the name of the file, several under numbers; what is there is replaced.

    The same seed gives the same bytes, and all formats the same music.
    """
    for name in ("a.mid", "a.wav", "a.npz"):
        done = sample("--out", name, "--steps", 24, "--tempo", 120, cwd=tmp_path)
        assert done.returncode == 0 and done.stdout.splitlines()[0] == name, done.stderr
    roll, first = from_npz(tmp_path / "a.npz").train[0], (tmp_path / "a.mid").read_bytes()
    assert roll.shape == (24, 88) and from_npz(tmp_path / "a.npz").step == 1
    assert np.array_equal(read_midi(tmp_path / "a.mid", 1), until_silence(roll))
    assert (tmp_path / "a.wav").read_bytes() == to_wav(roll, 1, 120)
    assert pretty_midi.PrettyMIDI(str(tmp_path / "a.mid")).get_tempo_changes()[1] == pytest.approx([120])

    (tmp_path / "a.mid").write_bytes(b"old")
    done = sample("pretrained/chorales/tanh", "--out", "a.mid", "-n", 3, "--seed", 5, "--steps", 24,
        "--most_notes", 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    several = [read_midi(tmp_path / f"a-{i}.mid", 1) for i in (1, 2, 3)]
    assert not np.array_equal(several[0], several[1]) and max(r.sum(1).max() for r in several) <= 4
    assert (tmp_path / "a.mid").read_bytes() == b"old"
    done = sample("--out", "a.mid", "--steps", 24, "--tempo", 120, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "a.mid").read_bytes() == first
    assert not [*tmp_path.rglob("*.tmp")] and not any(home.rglob("*"))


def test_sample_goes_on_and_harmonises(home, tmp_path):
    bach = load_chorales().sequence("bwv60.5")
    done = sample("pretrained/chorales/lstm", "--out", tmp_path / "on.mid",
        "--prime", "bwv60.5", "--prime_frames", 12, "--steps", 30)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_midi(tmp_path / "on.mid", 1)[:12], bach[:12])
    done = sample("--out", tmp_path / "under.mid", "--harmonise", "test:0", "--seed", 3)
    assert done.returncode == 0, done.stderr
    under, top = read_midi(tmp_path / "under.mid", 1), lambda roll: [max(np.flatnonzero(f), default=None) for f in roll]
    assert top(under) == top(bach) and not np.array_equal(under, bach)


def test_sample_of_a_run_on_own_data(home, toy, tmp_path):
    "The step of its data, the pieces of its data"
    assert gru_study("train", "--data", toy, "--hidden", 4, "--epoch", 1).returncode == 0
    done = sample("music_lm/toy/gru", "--out", tmp_path / "x.npz",
        "--prime", "train:7", "--prime_frames", 5, "--steps", 9, "-n", 4)
    assert done.returncode == 0 and "9 frames of 1 beat" in done.stdout, done.stderr
    for split, count in (("train", 2), ("valid", 1), ("test", 1)):
        pieces = from_npz(tmp_path / "x.npz")[split]
        assert len(pieces) == count
        for p in pieces: assert np.array_equal(p[:5], from_npz(toy).train[7][:5])


@pytest.mark.parametrize("words,sentence", [
    (["nothing"], "run: found 'nothing', allowed: a folder under"),
    (["pretrained/chorales/gruu"], "or one of pretrained/captions_de_en/gru"),
    (["pretrained/captions_de_en/gru"], "run: found 'pretrained/captions_de_en/gru', allowed: a run of task music_lm"),
    (["--out", "x.mp3"], "out: found 'x.mp3', allowed: a file ending in .mid, .wav or .npz"),
    (["--out", "x"], "out: found 'x'"),
    (["--out", "no/such/x.mid"], "out: found 'no/such/x.mid', allowed: a file in a folder that exists"),
    (["--temperature", "-1"], "temperature: found '-1', allowed: greater than or equal to 0"),
    (["--temperature", "nan"], "temperature: found 'nan', allowed: a finite number"),
    (["--steps", "0"], "steps: found '0', allowed: greater than or equal to 1"),
    (["--most_notes", "89"], "most_notes: found '89'"),
    (["--tempo", "0"], "tempo: found '0'"),
    (["--harmonise", "bwv0"], "harmonise: found 'bwv0', allowed: a piece of chorales: train:0 to train:"),
    (["--prime", "test:0", "--harmonise", "test:0"], "not both"),
    (["--particles", "8"], "particles: found 8, allowed: only with --harmonise"),
])
def test_sample_refuses(home, tmp_path, words, sentence):
    one_line(gru_study("sample", *(words if "--out" in words else ["--out", "x.mid", *words]), cwd=tmp_path), sentence)
    assert {p.name for p in tmp_path.rglob("*")} == {"home"}


def test_shipped_models_stay_as_they_are(home):
    before = {p: p.read_bytes() for p in asset("pretrained").rglob("*") if p.is_file()}
    one_line(gru_study("train", "--save_dir", "pretrained/chorales/gru", "--epoch", 1),
        "save_dir: found 'pretrained/chorales/gru', "
        "allowed: any other folder: pretrained/ holds the models shipped in the package")
    one_line(gru_study("search", "--save_dir", "./pretrained/mine"), "save_dir: found './pretrained/mine'")
    one_line(gru_study("train", "-c", "--epoch", 999, "--save_dir", "pretrained/chorales/tanh"), "save_dir: found")
    assert before == {p: p.read_bytes() for p in asset("pretrained").rglob("*") if p.is_file()}
    assert not any(home.rglob("*"))


def test_shipped_models_score_what_they_say(home):
    "Scored anew, the shipped weights give the figures of the shipped result"
    done = gru_study("evaluate", "pretrained/chorales/gru")
    said = {run: find_run(run).result["test"]["nll"] for run in MUSIC}
    assert done.returncode == 0, done.stderr
    test = next(line for line in done.stdout.splitlines() if line.startswith("test "))
    assert float(test.split("nll ")[1].split()[0]) == pytest.approx(said["pretrained/chorales/gru"], abs=1e-3)
    for run, nll in said.items():
        assert evaluate_music(load_model(find_run(run)), load_chorales().test).nll == pytest.approx(nll, abs=1e-3)


def test_shipped_models_are_small_and_name_no_place():
    for run in pretrained():
        files = [p for p in run.exp.iterdir()]
        assert {p.name for p in files} - {"vocabulary.json"} == {
            "config.json", "result.json", "metrics.csv", "model.safetensors", "digests.json"}
        assert len(history(run)["epoch"]) == run.result["epochs"]
        assert sum(p.stat().st_size for p in files) < (250_000 if run.experiment.task == "music_lm" else 2_000_000)
        for p in files:
            assert b"/root" not in p.read_bytes() and b"/home" not in p.read_bytes() and b"/tmp" not in p.read_bytes()
    sizes = [r.result["parameters"] for r in pretrained("translate")]
    assert len(sizes) == 3 and max(sizes) < 1.01*min(sizes)


def test_shipped_translators_translate(home):
    done = gru_study("translate", "pretrained/captions_de_en/gru", "Ein Hund schläft.")
    assert (done.returncode, done.stdout) == (0, "A dog is sleeping.\n"), done.stderr
    for run in pretrained("translate"):
        assert run.result["test"]["bleu"] > 95
        assert translate(*load_translator(run), ["Ein Hund schläft."])[0][0].text == "A dog is sleeping."
