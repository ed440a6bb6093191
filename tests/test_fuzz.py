"Each reader for two seconds on hostile files (tests/fuzz.py does it for as long as wanted), and files that are floods."
import gzip
import io
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz import READERS, XML, varlen

from gru_study.base import NOTES, BadInput
from gru_study.corpora import load_own, read_lines, read_segments, read_tsv
from gru_study.midi import load_midi_folder, read_midi
from gru_study.sets import from_npz


@pytest.mark.parametrize("reader", READERS)
def test_hostile_files(reader):
    "Nothing leaves a reader but its refusal"
    done = subprocess.run([sys.executable, Path(__file__).with_name("fuzz.py"), reader, "--seconds", "2"],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def member(shape, size=0, kind="|u1"):
    "A .npy file of zeros, or of fewer bytes than its header claims"
    np.lib.format.write_array_header_1_0(out := io.BytesIO(), dict(descr=kind, fortran_order=False, shape=shape))
    return out.getvalue() + bytes(size)


def lengths(*n): return member((len(n),), kind="<i8") + struct.pack(f"<{len(n)}q", *n)


def flood(path, members, method=zipfile.ZIP_DEFLATED):
    "An .npz of these members, and what a set has beside them"
    splits = ("train", "valid", "test")
    arrays = {f"{s}.npy": member((2, NOTES), 2*NOTES) for s in splits}
    arrays |= {f"{s}_lengths.npy": lengths(2) for s in splits}
    with zipfile.ZipFile(path, "w", method, compresslevel=9) as z:
        for name, data in (arrays | members).items():
            with z.open(name, "w") as f:
                f.write(data) if isinstance(data, bytes) else [f.write(piece) for piece in data]
    return path


def sparse(path, start=b"", size=0, end=b""):
    "A file that is large and takes no room"
    with path.open("wb") as f:
        f.write(start)
        f.truncate(size)
        f.seek(0, 2)
        f.write(end)
    return path


def midi(events, division=480):
    return b"MThd" + struct.pack(">IHHH", 6, 1, 1, division) + b"MTrk" + struct.pack(">I",
        len(events) + 4) + events + b"\0\xff\x2f\0"


NOTE = b"\0\x90\x3c\x40" + varlen(9_999_000) + b"\x80\x3c\0"  # of 4,999,500 frames at one tick a frame of an eighth
MIB = bytes(2**20)
SHORT = midi(b"\0\x90\x3c\x40\x60\x80\x3c\0")


SETS = [ # members beside, or instead of, those of a good set; how they are packed; what is said
    ({"more.npy": [MIB]*1100}, 8, "bytes when unpacked, allowed: at most 1,073,741,824"),
    ({f"{i}.npy": [MIB]*300 for i in range(4)}, 8, "found 1,258,29"),
    ({"train.npy": member((10**12, NOTES))}, 8, "cannot be read as .npz"),
    ({"train.npy": member((10**9, 10**9, 10**9))}, 8, "cannot be read as .npz"),
    ({"train.npy": member((10**12, NOTES), kind="|S0"), "train_lengths.npy": lengths(10**12)}, 8, "train_lengths must"),
    ({"train_lengths.npy": member((10**7,), 8*10**7, "<i8")}, 8, "train_lengths must be"),
    ({"train_lengths.npy": lengths(2**63 - 1, 2**63 - 1, 4)}, 8, "train_lengths must be"), # which is 2, by overflow
    ({"train.npy": member((10**6 + 1, NOTES), (10**6 + 1)*NOTES), "train_lengths.npy": lengths(10**6 + 1)}, 8,
        "found 1,000,001 frames, allowed: at most 1,000,000"),
    ({"train.npy": bytes(10**6)}, 12, "compression: found 12, allowed: 0 (none) or 8 (deflate)"),
]


@pytest.mark.parametrize("members,method,sentence", SETS)
def test_flood_of_a_set(tmp_path, members, method, sentence):
    refused(from_npz, flood(tmp_path / "f.npz", members, method), sentence)


def refused(read, path, sentence):
    "In one sentence and at once; the time is only a guard against waiting forever"
    start = time.monotonic()
    with pytest.raises(BadInput) as e: read(path)
    print(f"{time.monotonic() - start:.2f} s: {e.value}")
    assert time.monotonic() - start < 30 and sentence in str(e.value)


LINE = "found more than the 1,048,576 bytes that are allowed"
UNPACKED = "found more than the 268,435,456 bytes when unpacked that are allowed"
GIB = "found 1,073,741,824 bytes, allowed: at most"
FRAMES = "frames, allowed: at most 1,000,000"
FILES = { # name: how it is made, how it is read, what is said
    "zeros.npz": (lambda p: sparse(p, b"PK\3\4", 2**40), from_npz, "cannot be read as .npz"),
    "array.npz": (lambda p: sparse(p, member((2**36,)), 2**36), from_npz, "cannot be read as .npz"),
    "large.mid": (lambda p: sparse(p, SHORT, 2**30), read_midi, f"{GIB} 8,388,608"),
    "long.mid": (lambda p: p.write_bytes(midi(NOTE, 1)), read_midi, f"found 19,998,000 {FRAMES}"),
    "year.mid": (lambda p: p.write_bytes(midi(b"\0\x90\x3c\x40" + varlen(2**28 - 1) + b"\x80\x3c\0")),
        read_midi, "year.mid"),
    "fine.mid": (lambda p: p.write_bytes(SHORT), lambda p: read_midi(p, 1e-9), f"found 200,000,000 {FRAMES}"),
    "finest.mid": (lambda p: p.write_bytes(SHORT), lambda p: read_midi(p, 1e-320), FRAMES),
    "m/large.mid": (lambda p: sparse(p, SHORT, 2**30), lambda p: load_midi_folder(p.parent), f"{GIB} 8,388,608"),
    "m/many.mid": (lambda p: [p.with_name(f"{i}.mid").write_bytes(midi(NOTE, 22)) for i in range(9)],
        lambda p: load_midi_folder(p.parent), "bytes of piano rolls, allowed: at most 536,870,912"),
    "zeros.gz": (lambda p: p.write_bytes(gzip.compress(MIB, 9)*1100), read_lines, f"line 1: {LINE}"),
    "long.gz": (lambda p: p.write_bytes(gzip.compress(b"x\n" + MIB[3:] + b"\n", 9)*1100), read_lines, UNPACKED),
    "short.gz": (lambda p: p.write_bytes(gzip.compress((b"x"*1023 + b"\n")*1024, 9)*300), read_lines, UNPACKED),
    "empty.gz": (lambda p: p.write_bytes(gzip.compress(b"\n"*2**20, 9)*10), read_lines, "the 10,000,000 lines that"),
    "line.txt": (lambda p: sparse(p, size=500_000_000), read_lines, f"line 1: {LINE}"),
    "large.txt": (lambda p: sparse(p, size=2**30 + 1), read_lines, "found 1,073,741,825 bytes, allowed: at most"),
    "line.tsv": (lambda p: sparse(p, b"a\tb\n", 500_000_000), read_tsv, f"line 2: {LINE}"),
    "line.de": (lambda p: (sparse(p, b"a\n", 500_000_000), p.with_suffix(".en").write_text("a\n")),
        lambda p: load_own(str(p.with_suffix("")), ("de", "en")), f"line 2: {LINE}"),
    "large.xml": (lambda p: sparse(p, XML, 2**30), read_segments, f"{GIB} 67,108,864"),
}


@pytest.mark.parametrize("name", FILES)
def test_flood(tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make, read, sentence = FILES[name]
    (path := tmp_path / name).parent.mkdir(exist_ok=True)
    make(path)
    refused(read, path, sentence)
