"Each reader for two seconds on hostile files (tests/fuzz.py does it for as long as wanted), and files that unpack to floods."
import bz2
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

from gru_study.base import BadInput
from gru_study.music import LONGEST, NOTES, from_npz, load_midi_folder, read_midi
from gru_study.text import load_own, read_lines, read_segments, read_tsv


@pytest.mark.parametrize("reader", READERS)
def test_hostile_files(reader):
    "Nothing leaves a reader but its refusal"
    done = subprocess.run([sys.executable, Path(__file__).with_name("fuzz.py"), reader, "--seconds", "2"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def member(shape, size=0, kind="|u1"):
    "A .npy file of zeros, or of fewer bytes than its header claims"
    np.lib.format.write_array_header_1_0(out := io.BytesIO(), dict(descr=kind, fortran_order=False, shape=shape))
    return out.getvalue() + bytes(size)


def flood(path, members, method=zipfile.ZIP_DEFLATED):
    "An .npz of these members, and what a set has beside them"
    arrays = {f"{s}{end}.npy": data for s in ("train", "valid", "test") for end, data in (("", member((2, NOTES), 2*NOTES)), ("_lengths", member((1,), 8, "<i8")))}
    with zipfile.ZipFile(path, "w", method, compresslevel=9) as z:
        for name, data in (arrays | members).items():
            with z.open(name, "w") as f: f.write(data) if isinstance(data, bytes) else [f.write(piece) for piece in data]
    return path


def sparse(path, start=b"", size=0, end=b""):
    "A file that is large and takes no room"
    with path.open("wb") as f:
        f.write(start)
        f.truncate(size)
        f.seek(0, 2)
        f.write(end)
    return path


def midi(events, division=480): return b"MThd" + struct.pack(">IHHH", 6, 1, 1, division) + b"MTrk" + struct.pack(">I", len(events) + 4) + events + b"\0\xff\x2f\0"


NOTE = b"\0\x90\x3c\x40" + varlen(9_999_000) + b"\x80\x3c\0"  # of 4,999,500 frames at one tick a frame of an eighth
MIB = bytes(2**20)


@pytest.mark.parametrize("name,make,read,sentence", [
    ("f.npz", lambda p: flood(p, {"more.npy": (MIB for _ in range(1100))}), from_npz, "bytes when unpacked, allowed: at most 1,073,741,824"),
    ("f.npz", lambda p: flood(p, {f"{i}.npy": (MIB for _ in range(300)) for i in range(4)}), from_npz, "found 1,258,29"),
    ("f.npz", lambda p: flood(p, {"train.npy": member((10**12, NOTES))}), from_npz, "cannot be read as .npz"),
    ("f.npz", lambda p: flood(p, {"train.npy": member((10**9, 10**9, 10**9))}), from_npz, "cannot be read as .npz"),
    ("f.npz", lambda p: flood(p, {"train.npy": member((10**12, NOTES), kind="|S0"), "train_lengths.npy": member((1,), kind="<i8") + struct.pack("<q", 10**12)}), from_npz, "train_lengths must be"),
    ("f.npz", lambda p: flood(p, {"train.npy": member((2, NOTES), 2*NOTES), "train_lengths.npy": member((10**7,), 8*10**7, "<i8")}), from_npz, "train_lengths must be"),
    ("f.npz", lambda p: flood(p, {"train_lengths.npy": member((3,), kind="<i8") + struct.pack("<qqq", 2**63 - 1, 2**63 - 1, 4)}), from_npz, "train_lengths must be"),
    ("f.npz", lambda p: flood(p, {"train.npy": member((LONGEST + 1, NOTES), (LONGEST + 1)*NOTES), "train_lengths.npy": member((1,), kind="<i8") + struct.pack("<q", LONGEST + 1), "valid_lengths.npy": member((1,), kind="<i8") + struct.pack("<q", 2), "test_lengths.npy": member((1,), kind="<i8") + struct.pack("<q", 2)}), from_npz, "found 1,000,001 frames, allowed: at most 1,000,000"),
    ("f.npz", lambda p: flood(p, {"train.npy": bytes(10**6)}, zipfile.ZIP_BZIP2), from_npz, "compression: found 12, allowed: 0 (none) or 8 (deflate)"),
    ("f.npz", lambda p: sparse(p, b"PK\3\4", 2**40), from_npz, "cannot be read as .npz"),
    ("f.npz", lambda p: sparse(p, member((2**36,)), 2**36), from_npz, "cannot be read as .npz"),
    ("f.mid", lambda p: sparse(p, midi(NOTE), 2**30), read_midi, "found 1,073,741,824 bytes, allowed: at most 4,194,304"),
    ("f.mid", lambda p: p.write_bytes(midi(NOTE, 1)), read_midi, "found 19,998,000 frames, allowed: at most 1,000,000"),
    ("f.mid", lambda p: p.write_bytes(midi(b"\0\x90\x3c\x40" + varlen(2**28 - 1) + b"\x80\x3c\0")), read_midi, "f.mid"),
    ("f.mid", lambda p: p.write_bytes(midi(b"\0\x90\x3c\x40\x60\x80\x3c\0")), lambda p: read_midi(p, 1e-9), "frames, allowed: at most 1,000,000"),
    ("f.mid", lambda p: p.write_bytes(midi(b"\0\x90\x3c\x40\x60\x80\x3c\0")), lambda p: read_midi(p, 1e-320), "frames, allowed: at most 1,000,000"),
    ("m/f.mid", lambda p: sparse(p, midi(NOTE), 2**30), lambda p: load_midi_folder(p.parent), "found 1,073,741,824 bytes, allowed: at most 4,194,304"),
    ("m/f.mid", lambda p: [p.with_name(f"{i}.mid").write_bytes(midi(NOTE, 22)) for i in range(9)], lambda p: load_midi_folder(p.parent), "bytes of piano rolls, allowed: at most 536,870,912"),
    ("f.gz", lambda p: p.write_bytes(gzip.compress(MIB, 9)*1100), read_lines, "line 1: found more than the 1,048,576 bytes"),
    ("f.gz", lambda p: p.write_bytes(gzip.compress(b"x\n" + MIB[2:] + b"\n", 9)*1100), read_lines, "found more than the 268,435,456 bytes when unpacked"),
    ("f.gz", lambda p: p.write_bytes(gzip.compress(b"\n".join([b"x"*1023]*1024) + b"\n", 9)*300), read_lines, "found more than the 268,435,456 bytes when unpacked that are allowed"),
    ("f.gz", lambda p: p.write_bytes(gzip.compress(b"\n"*2**20, 9)*10), read_lines, "found more than the 10,000,000 lines"),
    ("f.txt", lambda p: sparse(p, size=500_000_000), read_lines, "line 1: found more than the 1,048,576 bytes"),
    ("f.txt", lambda p: sparse(p, size=2**30 + 1), read_lines, "found 1,073,741,825 bytes, allowed: at most 1,073,741,824"),
    ("f.tsv", lambda p: sparse(p, b"a\tb\n", 500_000_000), read_tsv, "line 2: found more than the 1,048,576 bytes"),
    ("f.de", lambda p: (sparse(p, b"a\n", 500_000_000), p.with_suffix(".en").write_text("a\n")), lambda p: load_own(str(p.with_suffix("")), ("de", "en")), "line 2: found more than the 1,048,576 bytes"),
    ("f.xml", lambda p: sparse(p, XML, 2**30), read_segments, "found 1,073,741,824 bytes, allowed: at most 67,108,864"),
])
def test_floods(tmp_path, monkeypatch, name, make, read, sentence):
    "What would fill the memory is refused at once, in one sentence; the time is only a guard against waiting forever"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (path := tmp_path / name).parent.mkdir(exist_ok=True)
    make(path)
    start = time.monotonic()
    with pytest.raises(BadInput) as e: read(path)
    print(f"{time.monotonic() - start:.2f} s: {e.value}")
    assert time.monotonic() - start < 30 and sentence in str(e.value)
