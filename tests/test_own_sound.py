"Sound that people bring: WAV files of all kinds and of none, folders as they lie on a disk; hostile ones."
import io
import json
import struct
import tracemalloc
import warnings
import wave

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.io import wavfile

from gru_study.base import SPLITS, BadInput, asset
from gru_study.datasets import known_files
from gru_study.speech import frames, load_speech, read_wav, resampled, speech_name

FSDD = json.loads(asset("datasets.json").read_text())["speech"]["fsdd"]
(ARCHIVE,) = FSDD["files"]
RNG = np.random.default_rng(0)
NOISE = RNG.integers(-2**15, 2**15, 700)
STEREO = RNG.integers(-2**15, 2**15, (700, 2))


def by_scipy(samples, rate=8000):
    wavfile.write(out := io.BytesIO(), rate, samples)
    return out.getvalue()


def by_wave(content, width, channels=1, rate=8000):
    "Written by the standard library: bytes of samples, each of `width`"
    with wave.open(out := io.BytesIO(), "wb") as w:
        w.setparams((channels, width, rate, 0, "NONE", ""))
        w.writeframes(content)
    return out.getvalue()


def of_24_bits(samples): return b"".join(int(v).to_bytes(3, "little", signed=True) for v in samples.ravel())


def riff(*chunks, said=None):
    "A file of chunks, each a name and its content"
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for name, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body) if said is None else said) + body


def fmt(tag=1, channels=1, rate=8000, bits=16, align=None):
    align = bits // 8 * channels if align is None else align
    return b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits)


DATA = b"data", NOISE.astype("<i2").tobytes()
GUID = bytes.fromhex("000000001000800000aa00389b71")
BYTES = bytes((NOISE[:699] % 256).tolist())
KINDS = { # file: what is in it, by hand
    "8 bits": (by_wave(BYTES, 1), (NOISE[:699] % 256 - 128) / 128),
    "16 bits": (by_wave(NOISE.astype("<i2").tobytes(), 2), NOISE / 2**15),
    "24 bits": (by_wave(of_24_bits(NOISE * 250), 3), NOISE * 250 / 2**23),
    "32 bits": (by_scipy((NOISE * 2**16).astype(np.int32)), NOISE / 2**15),
    "float": (by_scipy((NOISE / 2**14).astype(np.float32)), NOISE / 2**14), # louder than full scale
    "double": (by_scipy(NOISE / 3), NOISE / 3),
    "stereo": (by_scipy(STEREO.astype(np.int16)), STEREO.mean(1) / 2**15),
    "stereo of 24 bits": (by_wave(of_24_bits(STEREO), 3, 2), STEREO.mean(1) / 2**23),
    "five channels": (by_scipy(np.repeat(NOISE[:, None], 5, 1).astype(np.int16)), NOISE / 2**15),
    "extensible": (riff((b"fmt ", fmt(0xFFFE)[1] + struct.pack("<HHIH", 22, 16, 4, 1) + GUID), DATA), NOISE / 2**15),
    "other chunks": (riff((b"LIST", b"INFO..."), fmt(), (b"cue ", bytes(7)), DATA, (b"id3 ", b"x")), NOISE / 2**15),
    "no padding": (riff(fmt(bits=8), (b"data", BYTES))[:-1], (NOISE[:699] % 256 - 128) / 128)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_wav(kind):
    content, right = KINDS[kind]
    rate, signal = read_wav(content, "x")
    assert rate == 8000 and signal.dtype == np.float32 and signal.shape == right.shape
    np.testing.assert_allclose(signal, right, rtol=2e-7, atol=2e-7)


SHORT = by_scipy(NOISE.astype(np.int16))
REFUSED = {
    "nothing": (b"", "cannot be read as WAV (it is none)"),
    "text": (b"RIFF is what it is not", "is cut short|cannot be read as WAV"),
    "AIFF": (b"FORM" + bytes(400), "it is none"),
    "another RIFF": (riff(fmt(), DATA).replace(b"WAVE", b"AVI "), "Not a WAV file"),
    "no samples": (riff(fmt()), "it has no samples"),
    "no header": (riff(DATA), "No fmt chunk before data"),
    "cut in the samples": (SHORT[:-50], "is cut short: found 1,394 bytes, its header says 1,444"),
    "cut in the header": (SHORT[:30], "is cut short"),
    "a stream's endless header": (riff(fmt(), DATA, said=0xFFFFFFFF), "its header says 4,294,967,303"),
    "a header of gigabytes": (SHORT.replace(b"data" + struct.pack("<I", 1400), b"data\xfe\xff\xff\xff"), None),
    "a chunk of gigabytes": (riff((b"LIST", b"x")).replace(b"\1\0\0\0", b"\xfe\xff\xff\xff"), "it has no samples"),
    "65,535 channels": (riff(fmt(channels=65535, align=0), DATA), "cannot be read as WAV"),
    "no channel": (riff(fmt(channels=0, align=2), DATA), "cannot be read as WAV"),
    "compressed": (riff(fmt(tag=7, bits=8), DATA), "MULAW"),
    "nothing known": (riff(fmt(tag=4711), DATA), "cannot be read as WAV"),
    "floats of 16 bits": (riff(fmt(tag=3), DATA), "cannot be read as WAV"),
    "empty": (by_scipy(NOISE[:0].astype(np.int16)), "found 0 sample(s), allowed: 30 or more"),
    "29 samples": (by_scipy(NOISE[:29].astype(np.int16)), "found 29 sample(s)"),
    "silence": (by_scipy(np.zeros(700, np.int16)), "found silence, all samples are 0"),
    "a constant": (by_scipy(np.full(700, 2**14, np.int16)), "found silence, all samples are 0.5"),
    "channels that cancel": (by_scipy(np.stack([NOISE, -NOISE], 1).clip(-9, 9).astype(np.int16)), "found silence"),
    "NaN": (by_scipy(np.where(NOISE > 2**14, np.nan, NOISE)), "a sample that is no number"),
    "infinity": (by_scipy(np.where(NOISE > 2**14, np.inf, NOISE).astype(np.float32)), "a sample that is no number"),
    "more than float32 holds": (by_scipy(NOISE * 1e300), "a sample that is no number"),
    "one sample a second": (by_scipy(NOISE.astype(np.int16), 1), "a second: found 1, allowed: 4,000 to 192,000"),
    "a rate of gigahertz": (by_scipy(NOISE.astype(np.int16), 2**30), "samples a second: found 1073741824")}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(tmp_path, what):
    content, sentence = REFUSED[what]
    if sentence is None: # what the header claims is not there, and nothing waits for it
        assert len(read_wav(content, "x")[1]) == len(NOISE)
        return
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(BadInput) as refused: load_speech(str(tmp_path / "a.wav"))
    said = str(refused.value)
    assert "a.wav" in said and any(s in said for s in sentence.split("|")) and "\n" not in said


def test_a_rate_that_has_nothing_in_common():
    "191,999 is a prime: the filter is long, and no more than that"
    tracemalloc.start()
    sound = resampled(np.sin(np.arange(2 * 191_999) / 50).astype(np.float32), 191_999)
    assert tracemalloc.get_traced_memory()[1] < 400 * 2**20
    tracemalloc.stop()
    right = np.sin(np.arange(16_000) * 191_999 / 8000 / 50)
    assert len(sound) == 16_000 and np.abs(sound - right)[100:-100].max() < 0.01


GOOD = [content for content, _ in KINDS.values()] + [by_scipy(NOISE.astype(np.int16), r) for r in (44100, 11025)]
EXTREMES = [0, 1, 2, 3, 127, 128, 255, 0x7F, 0x80, 0xFF]


@st.composite
def damaged(draw):
    "A good file after some accidents, most of them in its header"
    data = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, min(len(data), draw(st.sampled_from([48, 100, 2000]))) - 1))
        what = draw(st.integers(0, 5))
        if what < 3: data[at] = draw(st.sampled_from(EXTREMES) | st.integers(0, 255))
        elif what == 3: data[at:at + 4] = struct.pack("<I", draw(st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1])))
        elif what == 4: del data[at:at + draw(st.integers(1, 40))]
        else: data[at:at] = data[at:at + 30] * draw(st.integers(1, 20))
        if not data: break
    return bytes(data)


@settings(max_examples=4000, deadline=None)
@given(damaged())
def test_no_wav_hurts(content):
    "Sound that is usable, or one line; never more memory than some times the file"
    tracemalloc.start()
    try: rate, signal = read_wav(content, "a.wav")
    except BadInput as e: assert str(e).startswith("a.wav") and "\n" not in str(e) and len(str(e)) < 400
    else: assert np.isfinite(signal).all() and len(signal) >= 30 and 4000 <= rate <= 192_000
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 2**20 + 20 * len(content)


def write(folder, **sounds):
    for name, content in sounds.items():
        path = folder / name.replace("__", "/")
        path = path.with_name(f"{path.name}.wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


GOOD_ONE, LONG = SHORT, by_scipy(np.tile(NOISE, 4).astype(np.int16), 16000)


def test_a_folder_as_it_lies_on_a_disk(tmp_path):
    hidden = {"._s1": b"a Mac's", ".trash__y": b""}
    write(tmp_path / "mine", **{f"s{i}": GOOD_ONE for i in range(8)}, deep__er__x=LONG, **hidden)
    (tmp_path / "mine/notes.txt").write_text("hello")
    (tmp_path / "mine/shout.WAV").write_bytes(GOOD_ONE)
    data = load_speech(str(tmp_path / "mine"))
    recordings = {s: {n.split("@")[0] for n in data.names[s]} for s in SPLITS}
    assert [len(r) for r in recordings.values()] == [8, 1, 1]
    assert set.union(*recordings.values()) == {*(f"s{i}.wav" for i in range(8)), "deep/er/x.wav", "shout.WAV"}
    assert data.notes == ("brought to 8,000 samples a second: files 1 of 16,000",) and data.name == "mine"
    assert data.sequence("s3.wav@500").shape == (200,)
    np.testing.assert_allclose(data.sequence("s3.wav@500") * data.scale, NOISE[500:] / 2**15, rtol=1e-6)
    with pytest.raises(BadInput, match="sequence: found 's3.wav', allowed: a sequence of mine"): data.sequence("s3.wav")


def test_given_splits_and_their_scale(tmp_path):
    loud, soft = (by_scipy(np.tile([v, -v], 400).astype(np.int16)) for v in (8000, 80))
    data = load_speech(str(write(tmp_path / "fsdd", train__a=loud, valid__a=soft, test__a=soft)))
    assert data.name == "own fsdd" and data.scale == np.float32(8000 / 2**15)
    assert {*np.abs(data.train[0])} == {1} and np.allclose(np.abs(data.test[0]), 0.01)
    assert data.names == {s: [f"{s}/a.wav@0", f"{s}/a.wav@500"] for s in SPLITS} | {"train": data.names["train"]}


def test_all_unusable_files_are_named_at_once(tmp_path):
    write(tmp_path, a=GOOD_ONE, b=GOOD_ONE, c=b"not sound", d=GOOD_ONE[:-9], e=by_scipy(np.zeros(99, np.int16)),
        f=by_scipy(NOISE[:50].astype(np.int16), 44100))
    (tmp_path / "g.wav").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput) as refused: load_speech(str(tmp_path))
    said = str(refused.value)
    assert "4 of 6 WAV files cannot be used: c.wav cannot be read" in said and "d.wav is cut short" in said
    assert "e.wav: found silence" in said and "f.wav: found 10 sample(s)" in said and str(tmp_path / "c") not in said


@pytest.mark.parametrize("train, test, fits", [
    (3.3e38, 3.3e38, True), (1e-40, 1e-40, True), (1e-44, 1e-44, True), (1e37, 1e-40, True), (0.1, 3.3e38, False)])
def test_the_loudest_and_the_softest(tmp_path, train, test, fits):
    "All that float32 holds, without a warning; divided by the scale it must still be a number"
    sound = lambda level: by_scipy(np.float32(level) * np.resize([1, -1], 100).astype(np.float32))
    write(tmp_path, train__a=sound(train), valid__a=sound(test), test__a=sound(test))
    with warnings.catch_warnings(action="error"):
        if fits: assert np.allclose(np.abs(load_speech(str(tmp_path)).train[0]), 1, rtol=1e-6)
        else:
            with pytest.raises(BadInput, match=r"valid\[0\]: found a sample that is no number"):
                load_speech(str(tmp_path))


def test_folders_that_are_no_set(tmp_path):
    with pytest.raises(BadInput, match=r"holds no WAV file \(.wav, .wave\)"): load_speech(str(tmp_path))
    write(tmp_path, a=GOOD_ONE, b=GOOD_ONE)
    with pytest.raises(BadInput, match=r"found 2 recording\(s\), allowed: 3 or more"): load_speech(str(tmp_path))
    write(tmp_path, train__a=GOOD_ONE)
    with pytest.raises(BadInput, match="1 WAV files in train/, 0 WAV files in valid/"): load_speech(str(tmp_path))
    for wrong in ("", str(tmp_path / "none.wav"), str(tmp_path / "a"), "nothing", __file__):
        with pytest.raises(BadInput, match="allowed: vowels, fsdd, a folder of WAV files"): speech_name(wrong)


def test_one_file_is_shared_out_by_time(tmp_path):
    samples = RNG.integers(-999, 999, 10_007).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(by_scipy(samples))
    data = load_speech(str(tmp_path / "a.wav"), 8000)
    assert [[len(x) for x in data[s]] for s in SPLITS] == [[8000], [1000], [1000]] # a rest of 7 is dropped
    joined = np.concatenate([data[s][0] for s in SPLITS[1:]]) * data.scale
    np.testing.assert_allclose(joined, samples[8007:] / 2**15, rtol=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.integers(30, 700))
def test_rows_by_hand(n):
    signal = np.arange(n, dtype=np.float32)
    x, y = frames(signal)
    assert x.shape == (1 + (n - 20) // 10, 20) and y.shape == (len(x), 10) and not y[0].any() and not x[-1].any()
    for t in range(1, len(x)):
        assert x[t - 1].tolist() == [*range(10 * (t - 1), 10 * (t - 1) + 20)]
        assert y[t].tolist() == [*range(20 + 10 * (t - 1), 20 + 10 * t)]


@pytest.mark.real_data
def test_the_spoken_digits(monkeypatch, tmp_path):
    "Counts by the facts beside the data; a spoiled archive; a spoiled cache"
    import tarfile
    from pathlib import Path

    from conftest import DATA
    if not (archive := Path(DATA, "speech", ARCHIVE)).is_file(): pytest.skip("no speech there")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = load_speech("fsdd")
    with tarfile.open(archive) as tar:
        lengths = {Path(m.name).stem: (m.size - 44) // 2 for m in tar if m.name.endswith(".wav")}
        first = tar.extractfile(next(m for m in tar.getmembers() if m.name.endswith("/7_theo_3.wav"))).read()
    take = lambda n: int(n.split("_")[2])
    split = {n: "test" if take(n) < 5 else "valid" if take(n) < 10 else "train" for n in lengths}
    for s, recordings in zip(SPLITS, FSDD["recordings"]):
        of = {n: v for n, v in lengths.items() if split[n] == s}
        assert len(of) == recordings
        assert len(data[s]) == sum(v // 500 + (v % 500 >= 30) for v in of.values())
    right = np.frombuffer(first, "<i2", offset=44)[500:1000] / 2**15 / data.scale
    np.testing.assert_allclose(data.sequence("7_theo_3@500"), right, rtol=1e-6)
    kept, = (tmp_path / "cache/gru-study/sets").iterdir()
    content = bytearray(kept.read_bytes())
    content[10**7] ^= 1
    kept.write_bytes(content)
    assert all(np.array_equal(a, b) for a, b in zip(load_speech("fsdd").train, data.train, strict=True))
    assert kept.read_bytes() != content
    spoiled = bytearray(archive.read_bytes())
    spoiled[10**7] ^= 1
    (tmp_path / "own/speech").mkdir(parents=True)
    (tmp_path / "own/speech" / ARCHIVE).write_bytes(spoiled)
    monkeypatch.setenv("GRU_STUDY_DATA", str(tmp_path / "own"))
    with pytest.raises(BadInput, match="its SHA-256 is|cannot be read as a .tar.gz"): load_speech("fsdd")
    assert f"speech/{ARCHIVE}" in known_files()
