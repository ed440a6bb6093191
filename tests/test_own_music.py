"Music that people bring: MIDI files note by note, folders as they lie on a disk, the layouts in which sets go round."
import csv
import io
import json
import os
import pickle
import shutil
import warnings
import zipfile
from fractions import Fraction

import mido
import numpy as np
import pytest
from conftest import SOAK, gru_study
from hypothesis import given, settings, strategies as st
from mido import Message, MetaMessage, MidiFile, MidiTrack
from scipy.io import loadmat, savemat
from test_commands import one_line

from gru_study.base import SPLITS, BadInput, asset
from gru_study.datasets import data_file
from gru_study.midi import load_midi_folder, midi_pieces, read_midi
from gru_study.music import CANONICAL, build_chorales, load_canonical, load_chorales, load_music
from gru_study.sets import from_npz

# MIDI, read by the rule written anew

EVENTS = st.tuples( # ticks since the last event, what it is, its channel and note
    st.sampled_from([0, 0, 1, 30, 59, 60, 61, 119, 120, 121, 240, 480, 700]),
    st.sampled_from(["on", "on", "on", "off", "off", "off", "zero", "pedal", "tempo", "text"]),
    st.sampled_from([0, 0, 1, 9]), st.sampled_from([20, 21, 60, 60, 60, 61, 108, 109]))


def message(delta, what, channel, note):
    "An event; a note-on of velocity 0 is a note-off"
    if what == "tempo": return MetaMessage("set_tempo", tempo=300_000 + 1000 * note, time=delta)
    if what == "text": return MetaMessage("marker", text="x", time=delta)
    if what == "pedal": return Message("control_change", channel=channel, control=64, value=note, time=delta)
    if what == "off": return Message("note_off", channel=channel, note=note, time=delta)
    return Message("note_on", channel=channel, note=note, velocity=80 * (what == "on"), time=delta)


def events_of(track):
    "channel and note -> its (tick, whether it is a note-on); and the end of the track"
    keys, ticks = {}, np.cumsum([m.time for m in track]).tolist()
    for tick, m in zip(ticks, track):
        if m.type not in ("note_on", "note_off") or m.channel == 9: continue
        keys.setdefault((m.channel, m.note), []).append((tick, m.type == "note_on" and m.velocity > 0))
    return keys, (ticks or [0])[-1]


def notes_by_rule(events, end):
    "As the page says it: pairs in order while all are answered, then each note-off ends what began before it"
    depth, depths = 0, []
    for _, on in events: depths.append(depth := max(depth + (1 if on else -1), 0))
    answered = max((i + 1 for i, d in enumerate(depths) if d == 0), default=0)
    ons = [t for t, on in events[:answered] if on]
    offs = [t for (t, on), d in zip(events[:answered], [0, *depths]) if not on and d > 0]
    notes, rest = list(zip(ons, offs, strict=True)), events[answered:]
    sounding = set()
    for i, (tick, on) in enumerate(rest):
        if on: sounding.add(i)
        else:
            ended = {j for j in sounding if rest[j][0] < tick} or sounding
            notes += [(rest[j][0], tick) for j in ended]
            sounding = sounding - ended
    return notes + [(rest[j][0], end) for j in sounding], bool(sounding)


def frames_by_rule(path, step):
    "The roll of a file of type 0 or 1, and the notes that hang"
    midi, cells, hung = mido.MidiFile(path), {}, set()
    frame = lambda tick: int(Fraction(tick) / (midi.ticks_per_beat * Fraction(step)) + Fraction(1, 2))
    for track in midi.tracks:
        keys, end = events_of(track)
        for (_, note), events in keys.items():
            notes, hangs = notes_by_rule(events, end)
            hung |= {note} if hangs else set()
            for on, off in notes: cells.setdefault(note, []).append((frame(on), max(frame(off), frame(on) + 1)))
    roll = np.zeros((max((stop for spans in cells.values() for _, stop in spans), default=0), 88), np.uint8)
    for note, spans in cells.items():
        for start, stop in spans:
            if 21 <= note <= 108: roll[start:stop, note - 21] = 1
    return roll, hung


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(EVENTS, max_size=30), min_size=1, max_size=3),
    st.sampled_from([120, 480, 96]), st.sampled_from([0.5, 0.25, 1., 2.]))
def test_frames_by_an_independent_reader(tmp_path_factory, tracks, resolution, step):
    path = tmp_path_factory.getbasetemp() / "any.mid"
    MidiFile(type=1, ticks_per_beat=resolution, tracks=[MidiTrack(message(*e) for e in t) for t in tracks]).save(path)
    ((roll, hung),), (right, hangs) = midi_pieces(path, step), frames_by_rule(path, step)
    assert np.array_equal(roll, right) and set(hung) == hangs


def song(path, *tracks, kind=1, resolution=480):
    "A file of tracks, each a list of (absolute tick, note, whether it begins); a marker where the note is None"
    made = []
    for events in tracks:
        track, now = MidiTrack(), 0
        for tick, note, on in events:
            kind_of = "note_on" if on else "note_off"
            wait, now = tick - now, tick
            track.append(Message(kind_of, note=note, time=wait) if note else MetaMessage("marker", time=wait))
        made.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    MidiFile(type=kind, ticks_per_beat=resolution, tracks=made).save(path)
    return path


def plain(note, length=960): return [(0, note, True), (length, note, False)]


def test_equal_notes_are_equal_on_the_grid(tmp_path):
    "Sixteenths on eighths: one onset in the first half frame, then two in each"
    track = [e for i in range(16) for e in ((i * 120, 60 + i, True), ((i + 1) * 120, 60 + i, False))]
    roll = read_midi(song(tmp_path / "x.mid", track))
    assert roll.sum(1).tolist() == [1, 2, 2, 2, 2, 2, 2, 2, 1]
    assert [(np.flatnonzero(f) + 21).tolist() for f in roll[1:8]] == [[60 + i, 61 + i] for i in range(1, 15, 2)]


def test_a_repeated_note_that_overlaps(tmp_path):
    "The first note-off ends the first note"
    roll = read_midi(song(tmp_path / "x.mid", [(0, 60, True), (480, 60, True), (490, 60, False), (960, 60, False)]))
    assert roll[:, 39].tolist() == [1, 1, 1, 1]


def test_a_hung_note_sounds_to_the_end_and_is_named(tmp_path):
    path = song(tmp_path / "x.mid", [(0, 60, True), (480, 62, True), (960, 62, False)])
    named = r"notes without an end, which sound to the end of their track, in .*x\.mid \(C4\)"
    with pytest.warns(UserWarning, match=named):
        roll = read_midi(path)
    assert roll[:, 39].tolist() == [1, 1, 1, 1] and roll[:, 41].tolist() == [0, 0, 1, 1]


def test_a_marker_far_away_is_no_corruption(tmp_path):
    with warnings.catch_warnings(action="error"):
        end = [(480, 62, True), (960, 62, False), (10_500_000, None, True)]
        roll = read_midi(song(tmp_path / "x.mid", [*plain(60, 480), *end]))
    assert roll.sum() == 4 and len(roll) == 4


def test_smpte_is_named(tmp_path):
    path = song(tmp_path / "x.mid", plain(60))
    data = bytearray(path.read_bytes())
    data[12:14] = (0xE7, 40) # 25 frames a second, 40 ticks a frame
    path.write_bytes(data)
    with pytest.raises(BadInput, match="x.mid counts time in SMPTE frames, allowed: ticks of a quarter note"):
        read_midi(path)


# Folders as they lie on a disk

def test_sequences_of_a_type_2_file_are_pieces(tmp_path):
    song(tmp_path / "m/two.mid", plain(60), plain(64), plain(67), plain(72), kind=2)
    data = load_midi_folder(tmp_path / "m")
    found = {name: np.flatnonzero(roll[0]).tolist() for s in SPLITS for name, roll in zip(data.names[s], data[s])}
    assert found == {f"two.mid[{i}]": [note - 21] for i, note in enumerate((60, 64, 67, 72))}
    with pytest.raises(BadInput, match="found 4 sequences of a type 2 file"): read_midi(tmp_path / "m/two.mid")


def test_a_folder_from_a_mac(home, tmp_path):
    for i in range(12): song(tmp_path / f"m/t{i}.mid", plain(60 + i))
    (tmp_path / "m/._t0.mid").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")
    song(tmp_path / "m/__MACOSX/._t1.mid", plain(60))
    song(tmp_path / "m/.trash/t2.mid", plain(60))
    song(tmp_path / "m/silent.mid", [(960, None, True)])
    song(tmp_path / "m/hang.mid", [(0, 60, True), (960, None, True)])
    first, second = (gru_study("data", tmp_path / "m") for _ in range(2))
    assert first.returncode == 0 and first.stdout == second.stdout
    said, *notes = first.stdout.splitlines()
    assert said.startswith("m: 13 sequences (9/2/2)")
    assert notes == ["left out, since it has fewer than 2 frames of notes: silent.mid",
        "notes without an end, which sound to the end of their track, in hang.mid (C4)"]
    run = gru_study("train", "--data", tmp_path / "m", "--hidden", 3, "--epoch", 1, "--save_dir", "m")
    assert run.returncode == 0 and notes[0] in run.stdout and notes[1] in run.stdout


def test_all_unusable_files_are_named_at_once(home, tmp_path):
    for i in range(10): song(tmp_path / f"m/t{i}.mid", plain(60 + i))
    (tmp_path / "m/no.mid").write_bytes(b"not music")
    (tmp_path / "m/cut.mid").write_bytes((tmp_path / "m/t0.mid").read_bytes()[:30])
    data = bytearray((tmp_path / "m/t1.mid").read_bytes())
    data[12:14] = (0xE7, 40)
    (tmp_path / "m/film.mid").write_bytes(data)
    (tmp_path / "m/huge.mid").write_bytes(b"MThd")
    os.truncate(tmp_path / "m/huge.mid", 2**23 + 1)
    done = gru_study("data", tmp_path / "m")
    one_line(done, "4 of 14 MIDI files cannot be used")
    assert all(f"{name}.mid cannot be read" in done.stderr for name in ("no", "cut"))
    assert "film.mid counts time in SMPTE" in done.stderr and "huge.mid: found 8,388,609" in done.stderr
    assert "t0.mid" not in done.stderr


# The layouts in which sets go round

CHORDS = [[60, 64, 67], [], [62, 65], [62, 65, 69, 72]]
VOICES = np.array([[60, 64, 67, 72], [np.nan, 64, 67, 72], [-1, -1, -1, -1]])


def as_rolls(piece): return np.array([[k + 21 in frame for k in range(88)] for frame in piece], np.uint8)


def lists(piece): return {s: [piece] * 2 for s in SPLITS}
def arrays(piece): return {s: cells([piece] * 2)[0] for s in SPLITS}
def mats(piece): return {f"{s}data": cells([piece] * 2) for s in SPLITS}


ROLL = as_rolls(CHORDS)
LAYOUTS = { # file: how it is written
    "lists.json": lambda p: p.write_text(json.dumps(lists(CHORDS))),
    "rolls.json": lambda p: p.write_text(json.dumps(lists(ROLL.tolist()))),
    "lists.pickle": lambda p: p.write_bytes(pickle.dumps(lists(CHORDS), 0)),
    "tuples.pkl": lambda p: p.write_bytes(pickle.dumps(lists(tuple(map(tuple, CHORDS))))),
    "rolls.pickle": lambda p: p.write_bytes(pickle.dumps(lists(ROLL), 5)),
    "arrays.pickle": lambda p: p.write_bytes(pickle.dumps(lists([np.array(f) for f in CHORDS]))),
    "plain.mat": lambda p: savemat(p, mats(ROLL)),
    "packed.mat": lambda p: savemat(p, mats(ROLL.astype(float)), do_compression=True),
    "objects.npz": lambda p: np.savez(p, **arrays(ROLL)),
    "cube.npz": lambda p: np.savez(p, **{s: np.array([ROLL] * 2) for s in SPLITS})}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read(tmp_path, name):
    LAYOUTS[name](tmp_path / name)
    data = load_music(str(tmp_path / name))
    assert data.name == name.split(".")[0] and all(len(data[s]) == 2 for s in SPLITS)
    assert all(np.array_equal(data[s][1], ROLL) for s in SPLITS)


def cells(items):
    made = np.empty((1, len(items)), object)
    made[0, :] = items
    return made


def test_four_voices(tmp_path):
    np.savez(tmp_path / "x.npz", **{s: cells([VOICES, VOICES[:2]])[0] for s in SPLITS})
    roll = from_npz(tmp_path / "x.npz").test[0]
    assert [np.flatnonzero(f).tolist() for f in roll] == [[39, 43, 46, 51], [43, 46, 51], []]


def test_lists_train(home, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({s: [CHORDS * 4] * 2 for s in SPLITS}))
    assert gru_study("train", "--data", tmp_path / "x.json", "--hidden", 3, "--epoch", 1).returncode == 0
    r = gru_study("data", tmp_path / "x.json", "--step", 0.25, "--out", tmp_path / "y.npz")
    assert "of 0.25 beat" in r.stdout and from_npz(tmp_path / "y.npz").step == 0.25


class Evil:
    "Runs a command where a pickle is simply loaded"
    def __init__(self, command): self.command = command
    def __reduce__(self): return os.system, (self.command,)


HOSTILE = {
    "a call": (lambda flag: pickle.dumps(lists(Evil(f"touch {flag}"))), "found the name 'posix.system', allowed"),
    "a call by name": (lambda flag: f"cposix\nsystem\n(S'touch {flag}'\ntR.".encode(), "found the name 'posix.system'"),
    "numpy's reader of files": (lambda flag: b"cnumpy\nload\n(S'x.npy'\ntR.", "found the name 'numpy.load'"),
    "a class": (lambda flag: b"c__builtin__\nobject\n.", "found the name"),
    "numpy by a longer name": (lambda flag: b"cnumpy.core.multiarray.x\nscalar\n.", "found the name"),
    "a place for billions": (lambda flag: b"\x80\x04Nr\xff\xff\xff\xff.", "cannot be read as a pickle"),
    "an array larger than its content": (
        lambda flag: pickle.dumps({"train": [np.eye(3)]}, 5).replace(b"K\x03K\x03", b"K\x7fK\x7f"),
        "cannot be read as a pickle"),
    "a set": (lambda flag: pickle.dumps({"train": {1}}), "cannot be read as a pickle"),
    "an array of dates": (
        lambda flag: pickle.dumps({"train": np.array(["2020"], "M8[D]")}, 5), "cannot be read as a pickle"),
    "a list in itself": (lambda flag: b"\x80\x04}\x8c\x05train](h\x00e\x8c\x05valid]\x8c\x04test]u.", ""),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("layout", ["pickle", "npz"])
def test_nothing_in_a_pickle_is_run(tmp_path, what, layout):
    make, sentence = HOSTILE[what]
    content, path = make(tmp_path / "ran"), tmp_path / f"x.{layout}"
    if layout == "npz":
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, dict(descr="|O", fortran_order=False, shape=(1,)))
        with zipfile.ZipFile(path, "w") as z:
            for s in SPLITS: z.writestr(f"{s}.npy", stream.getvalue() + content)
    else: path.write_bytes(content)
    with pytest.raises(BadInput) as refused: load_music(str(path))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.real_data
@pytest.mark.parametrize("name", CANONICAL)
def test_scipy_reads_the_same_in_a_canonical_set(name):
    mat, data = loadmat(data_file(CANONICAL[name])), load_canonical(name)
    for s in SPLITS:
        assert len(data[s]) == mat[f"{s}data"].size
        assert all(np.array_equal(a, b) for a, b in zip(data[s], mat[f"{s}data"][0]))


@pytest.mark.real_data
def test_a_mat_by_its_path(tmp_path):
    shutil.copy(data_file("music/JSB_Chorales.mat"), tmp_path / "mine.mat")
    mine = load_music(str(tmp_path / "mine.mat"))
    assert all(np.array_equal(a, b) for a, b in zip(mine.test, load_canonical("JSB").test, strict=True))


@pytest.mark.parametrize("make, sentence", [
    (lambda p: savemat(p, {"x": np.eye(3)}), "lacks traindata, validdata, testdata"),
    (lambda p: savemat(p, {"traindata": np.eye(3)}), "lacks traindata"),
    (lambda p: savemat(p, {"traindata": np.eye(3)}, format="4"), "no MATLAB file of version 5"),
    (lambda p: p.write_bytes(b"MATLAB 7.3 MAT-file".ljust(126) + b"IM" + bytes(400)), "no MATLAB file of version 5"),
    (lambda p: p.write_bytes(b"x" * 4000), "no MATLAB file of version 5"),
    (lambda p: savemat(p, mats("text")), "cannot be read as a MATLAB file"),
    (lambda p: savemat(p, mats(np.eye(3))), "train[0]: found an array of shape (3, 3)")])
def test_what_is_no_set_in_mat(tmp_path, make, sentence):
    make(tmp_path / "x.mat")
    with pytest.raises(BadInput) as refused: load_music(str(tmp_path / "x.mat"))
    assert sentence in str(refused.value)


def test_a_hostile_pickle_at_the_command(home, tmp_path):
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(lists(Evil(f"touch {tmp_path}/ran"))))
    one_line(gru_study("train", "--data", tmp_path / "x.pickle"), "x.pickle: found the name 'posix.system', allowed")
    assert not (tmp_path / "ran").exists()


@SOAK
def test_the_shipped_chorales_are_the_scores():
    "Read again from music21's corpus by the rule"
    made, shipped = build_chorales(list(csv.DictReader(asset("chorales.csv").open()))), load_chorales()
    assert made.names == shipped.names
    assert all(np.array_equal(a, b) for s in SPLITS for a, b in zip(made[s], shipped[s], strict=True))
