"""Hostile files for every reader: `python tests/fuzz.py READER --seconds 600 --seed 0`, or `all --workers 2`.

Each case is a few files: good ones that were damaged, or ones made from nothing. Of what reads them only a `BadInput`
or a `Failed` of one short line may come: no other exception, no warning, nothing on stderr, no code that the file
names, no wait, no flood of memory. One line of result a reader; the smallest case of each kind of escape is kept in
build/fuzz, and the exit code is 1."""
import argparse
import faulthandler
import gzip
import io
import json
import os
import pickle
import pickletools
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed as seeded, settings, strategies as st
from hypothesis.errors import HypothesisWarning

from gru_study.base import BadInput, Failed

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build/fuzz"
SLOW = 2. # seconds of the processor, and as many a megabyte
HANGS = 30 # seconds
FLOOD = 600 * 2**20 # bytes
LONG = 2000 # characters of a refusal
Case = dict[str, bytes] # path under a folder of its own -> content

# Values

BELOW = ["", "\0", "\ud800", "\ufeff", "\r\n", "a\nb", "../../../x", "/etc/passwd", "<img src=x onerror=alert(1)>",
    "x" * 300, "ü" * 90, "NaN", "1e999", "nan", "-0", "0x10", "1_000", "~nosuchuser/x", "a/b", "*", "%41?#", "\u202e",
    "a b"]
LETTERS = [0xD800, 0x110000, 0xFFFFFFFF, 0, 97] # numpy keeps any number for a letter
NUMBERS = [0, -1, 1, 2, 2**31, 2**63 - 1, 2**63, -2**63, 2**64, 10**25, 10**400, 1e308, 5e-324, -1e308, float("nan"),
    float("inf"), -float("inf"), 0.5, 1e-9, True, False]
TEXT = [b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"1e-999", b"9" * 5000, b"null", b'"x"', b"[]", b"{}", b"-",
    b"1.5", b"true", b"", b"1_0", b"0x1", "٣".encode()] # in the place of a number
SCRAPS = [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b"\x1a", b"\xed\xa0\x80", b"{", b"[", b'"', b"'",
    b"\\", b",", b":", b"#", b"&a", b"*a", b"!!python/object/apply:os.getcwd []", b"<<", b"\xc2\x85", b"\xe2\x80\xa8",
    b"[" * 50_000, b'{"a":' * 20_000, b"-" * 50_000, b"(" * 5000, b"x" * 10_000_000, b"\n" * 100_000]

texts = st.sampled_from(BELOW) | st.text(st.characters(codec=None), max_size=20) # surrogates too
numbers = st.sampled_from(NUMBERS) | st.integers() | st.floats()
wild = st.recursive(st.none() | numbers | texts | st.sampled_from(["@deep@", "@long@", "@digits@"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8)

def dumps(value) -> bytes:
    "As JSON, with what json would not write: depth, length, thousands of digits"
    text = json.dumps(value).replace('"@deep@"', "[" * 100_000 + "]" * 100_000).replace('"@digits@"', "7" * 6000)
    return text.replace("@long@", "x" * 10_000_000).encode()

# Damage to bytes

@st.composite
def damaged(draw, good: list[bytes], most: int = 4) -> bytes:
    "A good file after some accidents"
    data = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(1, most))): data = draw(st.sampled_from(ACCIDENTS))(draw, data, good)
    return data

def place(draw, data): return draw(st.integers(0, max(0, len(data) - 1)))
def flip(draw, data, good):
    if not data: return data
    i = place(draw, data)
    return data[:i] + bytes([data[i] ^ 1 << draw(st.integers(0, 7))]) + data[i + 1:]
def extreme(draw, data, good):
    i, n = place(draw, data), draw(st.sampled_from([1, 2, 4, 8]))
    value = draw(st.sampled_from([b"\0" * n, b"\xff" * n, b"\x7f" + b"\xff" * (n - 1), b"\xff" * (n - 1) + b"\x7f",
        b"\x80" + b"\0" * (n - 1), b"\0" * (n - 1) + b"\x80", b"\1" + b"\0" * (n - 1)]))
    return data[:i] + value + data[i + n:]
def cut(draw, data, good): return data[:place(draw, data)]
def drop(draw, data, good): i = place(draw, data); return data[:i] + data[i + draw(st.integers(1, 200)):]
def again(draw, data, good):
    i, n = place(draw, data), draw(st.integers(1, 300))
    return data[:i] + data[i:i + n] * min(draw(st.sampled_from([2, 3, 50, 3000])), 10**6 // n) + data[i + n:]
def insert(draw, data, good):
    i = place(draw, data); return data[:i] + draw(st.sampled_from(SCRAPS) | st.binary(max_size=30)) + data[i:]
def splice(draw, data, good):
    other = draw(st.sampled_from(good)); return data[:place(draw, data)] + other[place(draw, other):]
def number(draw, data, good):
    found = [*re.finditer(rb"-?\d+(\.\d+)?(e[-+]?\d+)?", data[:100_000])]
    if not found: return data
    m = found[draw(st.integers(0, len(found) - 1))]
    return data[:m.start()] + draw(st.sampled_from(TEXT)) + data[m.end():]
def line(draw, data, good):
    lines = data.split(b"\n")
    i, j = (draw(st.integers(0, len(lines) - 1)) for _ in "ij")
    lines[i] = draw(st.sampled_from([lines[j], b"", lines[i] + b"\r", lines[i] * 2, lines[i][: len(lines[i]) // 2]]))
    return b"\n".join(lines)
ACCIDENTS: list[Callable] = [flip, extreme, cut, drop, again, insert, splice, number, line]

@st.composite
def bent(draw, good: list[bytes]) -> bytes:
    "A good JSON file in which some values were replaced, left out or given other names"
    top = json.loads(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(1, 3))):
        here = top
        while True:
            keys = [*here] if isinstance(here, dict) else [*range(len(here))]
            if not keys: break
            key = draw(st.sampled_from(keys[:60]))
            if isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 3)): here = here[key]; continue
            what = draw(st.integers(0, 5))
            if what == 0: del here[key]
            elif what == 1 and isinstance(here, dict): here[draw(texts)] = here.pop(key)
            else: here[key] = draw(wild)
            break
    return dumps(top)

def json_files(*good: bytes): return bent([*good]) | bent([*good]) | damaged([*good]) | wild.map(dumps)

# One reader

LAST = [""] # what was said of the case before
STDERR = os.fdopen(os.dup(2), "w")

class Said:
    "All that is written to stderr, by whatever means"
    def __init__(self): self.file = tempfile.TemporaryFile()
    def start(self): os.dup2(self.file.fileno(), 2)
    def tell_all(self) -> str:
        sys.stderr.flush()
        if not (n := os.fstat(self.file.fileno()).st_size): return ""
        text = os.pread(self.file.fileno(), n, 0).decode(errors="replace")
        self.file.seek(0), self.file.truncate()
        return text
    def end(self): os.dup2(STDERR.fileno(), 2)

SAID = Said()

@dataclass
class Reader:
    "What is read, and how"
    good: Case # that must be accepted
    cases: st.SearchStrategy # of `Case`
    read: Callable[[Path], object] # is given the folder
    ready: Callable[[], object] = lambda: None # before each case
    names_file: bool = True # a refusal must name one of the files
    always: Sequence[Case] = () # read first, whatever the seed

READERS: dict[str, Callable[[Path], Reader]] = {} # name -> builds it, given a folder of its own

def reader(make):
    READERS[make.__name__] = make
    return make

def one(name: str, contents) -> st.SearchStrategy: return contents.map(lambda data: {name: data})

@dataclass
class Found:
    "What came of some cases"
    cases: int = 0
    refused: int = 0
    escaped: dict[str, Case] = field(default_factory=dict) # kind -> its smallest case
    trace: dict[str, str] = field(default_factory=dict)

class Escape(Exception): pass
class Hang(BaseException): pass

def size(case: Case) -> int: return sum(map(len, case.values()))

def innermost(e: BaseException) -> str:
    "The last place of our package that an exception went through"
    frames = [f for f in traceback.extract_tb(e.__traceback__)
        if "gru_study" in f.filename] or traceback.extract_tb(e.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"

def verdict(r: Reader, case: Case, folder: Path) -> tuple[bool, str]: # refused; what escaped, or nothing
    "Let a reader read"
    marker = folder.parent / "executed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in case.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    r.ready()
    SAID.tell_all()
    refused, kind = False, ""
    faulthandler.dump_traceback_later(4 * HANGS, exit=True, file=STDERR)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    memory, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for usual in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", usual)
        warnings.simplefilter("ignore", HypothesisWarning)
        try: r.read(folder)
        except (BadInput, Failed) as e:
            refused, text = True, str(e)
            LAST[0] = text
            if len(text) > LONG: kind = f"a refusal of more than {LONG} characters at {innermost(e)}"
            elif r.names_file and not any(Path(name).stem in text for name in case) and str(folder) not in text:
                kind = f"a refusal that names no file at {innermost(e)}: {text[:100]}"
        except Hang as e: kind = f"no answer within {HANGS} s at {innermost(e)}"
        except Exception as e: kind = f"{type(e).__name__} at {innermost(e)}"; LAST[0] = traceback.format_exc()[-3000:]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
    said = SAID.tell_all()
    cpu, memory = time.process_time() - cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    if not kind and warned:
        said = re.sub("[0-9]+", "N", str(warned[0].message))[:25]
        kind = f"{warned[0].category.__name__} ({said}) at {Path(warned[0].filename).name}:{warned[0].lineno}"
    if not kind and said: kind = f"on stderr: {said[:80]!r}"
    if not kind and marker.exists(): kind = "code that the file names was executed"
    if not kind and cpu > SLOW*(1 + size(case)/1e6): kind = f"slow: more than {SLOW:g} s"
    if not kind and memory * 1024 > FLOOD: kind = "memory: more than 600 MiB"
    marker.unlink(missing_ok=True)
    return refused, kind

def fuzz(name: str, seconds: float, seed: int, folder: Path) -> Found:
    "Read so long; the cases follow from the seed"
    def hang(*_): raise Hang
    signal.signal(signal.SIGALRM, hang)
    warnings.simplefilter("ignore", HypothesisWarning)
    SAID.start()
    r, found, end, i = READERS[name](folder), Found(), float("inf"), 0
    verdict(r, r.good, folder / "case") # what is imported at the first call is nobody's fault
    if any(said := verdict(r, r.good, folder / "case")):
        raise SystemExit(f"{name}: the good files are not accepted: {said}, {LAST}")
    found_now: list[str] = []
    def take(case):
        if time.monotonic() > end + (min(30, seconds) if found_now else 0): return
        found.cases += 1
        refused, kind = verdict(r, case, folder / "case")
        found.refused += refused
        if not kind: return
        if kind not in found.escaped or size(case) < size(found.escaped[kind]):
            found.escaped[kind], found.trace[kind] = case, LAST[0]
        if kind.startswith(("slow", "memory", "no answer")) or kind in known:
            return # it would take too long to make these smaller
        if found_now and found_now != [kind]: return
        found_now[:] = [kind]
        raise Escape
    known: set[str] = set()
    for case in r.always:
        try: take(case)
        except Escape: known.update(found_now); found_now.clear()
    end = time.monotonic() + seconds
    while time.monotonic() < end and i < 100_000:
        config = settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink], verbosity=Verbosity.quiet)
        try: seeded(seed * 100_000 + i)(config(given(r.cases)(take)))()
        except Exception as e:
            if not found_now:
                raise RuntimeError(
                    f"{name}: {type(e).__name__} in the harness: {traceback.format_exc(limit=-4)[:2000]}") from None
        known.update(found_now)
        found_now.clear()
        i += 1
    return found

def keep(name: str, kind: str, case: Case, trace: str) -> Path:
    "Write down what escaped"
    folder = KEPT / f"{name}-{re.sub(r'[^A-Za-z0-9.]+', '-', kind)[:80]}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file, data in case.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    (folder / ".escaped.txt").write_text(f"{kind}\n{trace}", errors="backslashreplace")
    return folder

def line_of(name: str, found: Found) -> str:
    "What came of a reader"
    line = f"{name}: {found.cases:,} cases, {found.refused:,} of them refused, {len(found.escaped)} kinds of escape"
    return line + "".join(f"\n    {kind} ({size(case):,} bytes, {keep(name, kind, case, found.trace[kind])})" for kind,
        case in found.escaped.items())

# Music

def toy_set(pieces: int = 12):
    from gru_study.rolls import MusicData
    rng = np.random.default_rng(0)
    piece = lambda: np.eye(88, dtype=np.uint8)[rng.choice([-2, 2], size=rng.integers(4, 9)).cumsum() + 40]
    return MusicData("toy", *([piece() for _ in range(n)] for n in (pieces, 3, 3)))

DTYPES = ["u1", "i1", "i8", "u8", "f2", "f4", "f8", "c16", "?", "O", "U3", "S2", "V4", "M8[s]", "m8[D]", ">i4",
    "f8, i4"]
SHAPES = [(), (0,), (3,), (9, 88), (0, 88), (9, 0), (9, 87), (2, 9, 88), (10**9, 88), (10**12,), (2**31, 2**31),
    (0, 10**18), (-1, 88), (9.5, 88)]

@st.composite
def member(draw) -> bytes: # a .npy file
    kind, shape = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(SHAPES))
    if draw(st.integers(0, 5)) == 0: # objects
        np.lib.format.write_array_header_1_0(out := io.BytesIO(), dict(descr="|O", fortran_order=False, shape=(2,)))
        return out.getvalue() + draw(pickle_from_nothing() | damaged([pickle.dumps(chords()["train"])]))
    if draw(st.integers(0, 3)) == 0: # names
        np.lib.format.write_array(out := io.BytesIO(), np.array(draw(st.lists(st.sampled_from(LETTERS), min_size=1,
            max_size=3)), np.uint32).view("U1"))
        return out.getvalue()
    if draw(st.booleans()) and kind != "O" and all(isinstance(n, int) and 0 <= n < 10**6 for n in shape):
        values = np.asarray(draw(st.sampled_from([0, 1, 2, -1, 9, 10**12])))
        with np.errstate(all="ignore"):
            np.lib.format.write_array(out := io.BytesIO(), np.full(shape,
                values.astype("i8", casting="unsafe") if kind not in ("u1", "?") else values % 2).astype(kind,
                casting="unsafe"), allow_pickle=False)
        return out.getvalue()
    header = draw(st.sampled_from([
        f"{{'descr': {np.dtype(kind).str!r}, 'fortran_order': False, 'shape': {shape!r}, }}",
        "{'descr': " + "(" * 5000, "{}", "[1]" * 4000,
        "{'descr': '|U999999999', 'fortran_order': True, 'shape': (3,), }"])).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + draw(st.sampled_from([b"", b"\0" * 100,
        b"\1" * 10_000]))

@st.composite
def npz_from_nothing(draw, good: bytes) -> bytes:
    members = {n: zipfile.ZipFile(io.BytesIO(good)).read(n) for n in zipfile.ZipFile(io.BytesIO(good)).namelist()}
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([*members, "more.npy", "train", "../x.npy", "x" * 300 + ".npy", "train.npy\0x"]))
        members[name] = draw(member() | damaged([*members.values()], 2) | st.sampled_from([*members.values()]))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out := io.BytesIO(), "w",
        draw(st.sampled_from([0, 8, 12, 14]))) as z:
        for name, data in members.items():
            for _ in range(draw(st.sampled_from([1, 1, 1, 2]))): z.writestr(name, data)
    return out.getvalue()

@reader
def npz(folder):
    from gru_study.sets import from_npz, to_npz
    good = to_npz(toy_set())
    def read(case):
        data = from_npz(case / "x.npz")
        return str(data), data.sequence("test:0")
    return Reader({"x.npz": good}, one("x.npz", npz_from_nothing(good) | damaged([good])), read)

def chords(): return {s: [[[60, 64, 67], [], [62.0]], [[60], [61, -1]]] for s in ("train", "valid", "test")}

OPS = st.sampled_from([bytes([op.code.encode("latin1")[0]]) for op in pickletools.opcodes])
NAMES = st.sampled_from([b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n",
    b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy._core.numeric\n_frombuffer\n",
    b"cos\nsystem\n(S'false'\ntR", b"c__builtin__\neval\n", b"(X\x02\0\0\0f8K\0K\1tR",
    b"(K\1K\2\x85K\0\x89C\1xtb", b"}b", b"r\xff\xff\xff\xff", b"p99999999999\n", b"h\0", b"0", b"("])

@st.composite
def pickle_from_nothing(draw) -> bytes:
    "Operations one after another, with what follows them by chance"
    return b"\x80\x04" + b"".join(draw(st.lists(NAMES | OPS | st.binary(max_size=4), max_size=30))) + b"."

@reader
def lists(folder):
    from gru_study.music import load_music
    more = [np.eye(3, 88), np.float32([[60], [61]])]
    rolls = {s: [np.array(p, object) for p in v] + more for s, v in chords().items()}
    good = [pickle.dumps(v, p) for v in (chords(), rolls) for p in (0, 2, 3, 4, 5)]
    pickles = damaged(good) | pickle_from_nothing() | st.sampled_from(good)
    text = json.dumps(chords()).encode()
    case = one("x.pickle", pickles) | one("x.pkl", pickles) | one("x.json", json_files(text))
    return Reader({"x.json": text}, case, lambda case: str(load_music(str(next(case.glob("x.*"))))))

@reader
def mat(folder):
    from gru_study.sets import from_mat
    from scipy.io import savemat
    good = []
    for compressed in (False, True):
        cells = np.empty((1, 2), object)
        cells[0, :] = [np.eye(5, 88), np.eye(4, 88, dtype=np.uint8)]
        savemat(out := io.BytesIO(), {f"{s}data": cells for s in ("train", "valid", "test")}, do_compression=compressed)
        good.append(out.getvalue())
    return Reader({"x.mat": good[0]}, one("x.mat", damaged(good)), lambda case: str(from_mat(case / "x.mat")))

def varlen(n: int) -> bytes:
    "A length as MIDI writes it"
    out = bytes([n & 127])
    while n := n >> 7: out = bytes([n & 127 | 128]) + out
    return out

delta = st.sampled_from([varlen(n) for n in (0, 0, 1, 60, 240, 480, 127, 128, 10_000, 10_500_000,
    2**28 - 1)] + [b"\xff\xff\xff\xff\x7f", b"\x80\x80\x00", b"\xff" * 9])
byte = st.sampled_from([0, 1, 20, 21, 60, 64, 108, 109, 127, 128, 255])
note = st.tuples(st.sampled_from([0x90, 0x80, 0x91, 0x99, 0xA0, 0xB0]), byte, byte).map(bytes)
def meta(kind, data, n): return bytes([0xFF, kind]) + varlen(len(data) if n is None else n) + data
kinds = st.sampled_from([0, 1, 3, 0x20, 0x2F, 0x51, 0x54, 0x58, 0x59, 0x7F])
values = st.sampled_from([b"\0\0\0", b"\xff\xff\xff", b"\7\xa1\x20", b"\4\x7f\x18\x08", b"\x7f\x05"])
other = st.one_of(st.tuples(st.sampled_from([0xC0, 0xD0]), byte).map(bytes), st.binary(max_size=6),
    st.tuples(byte, byte).map(bytes), # running status
    st.builds(meta, kinds, st.binary(max_size=6) | values, st.sampled_from([None, None, None, 0, 3, 2**28 - 1])),
    st.sampled_from([b"\xff\x51\x03\0\0\0", b"\xff\x51\x03\0\0\1", b"\xff\x2f\0", b"\xff\x58\x04\4\xff\x18\x08",
        b"\xff\x58\x04\4\2\0\0", b"\xff\x59\x02\x7f\5", b"\xf0\x03abc", b"\xf7\0"]))
track = st.lists(st.tuples(delta, note | note | other).map(b"".join), max_size=12).map(b"".join)

@st.composite
def midi_from_nothing(draw) -> bytes:
    tracks = draw(st.lists(track, max_size=4))
    kind, count = draw(st.sampled_from([0, 1, 1, 1, 2, 9])), draw(st.sampled_from([len(tracks)] * 4 + [0, 1, 9, 65535]))
    division = draw(st.sampled_from([480, 480, 480, 1, 96, 0, 32767, 32768, 0xE728, 65535]))
    length = lambda body: draw(st.sampled_from([len(body)] * 6 + [0, len(body) + 9, 2**32 - 1]))
    end = draw(st.sampled_from([b"\0\xff\x2f\0"] * 4 + [b""]))
    return b"MThd" + struct.pack(">IHHH", draw(st.sampled_from([6, 6, 6, 6, 0, 60])), kind, count,
        division) + b"".join(b"MTrk" + struct.pack(">I", length(t + end)) + t + end for t in tracks)

STEPS = [0.5, 1., 1e-3, 1e-12, 1e-300, 1e300, float("inf"), float("nan"), 0., -1.]

@reader
def midi(folder):
    from gru_study.midi import midi_pieces, to_midi
    good = [to_midi(toy_set().train[0]), to_midi(np.eye(88, dtype=np.uint8)[:20], 0.25, 180)]
    cases = st.builds(lambda data, step: {"x.mid": data, "step": str(step).encode()},
        midi_from_nothing() | damaged(good), st.sampled_from(STEPS[:1] * 5 + STEPS[:6]))
    return Reader({"x.mid": good[0], "step": b"1"}, cases, lambda case: midi_pieces(case / "x.mid",
        float((case / "step").read_text())))

@reader
def midis(folder):
    from gru_study.midi import load_midi_folder, to_midi
    good = to_midi(toy_set().train[0])
    names = st.sampled_from(["a.mid", "b.MID", "._a.mid", "train/a.mid", "valid/b.mid", "test/c.midi",
        "x" * 200 + ".mid", "<b>.mid", "\n.mid", "ü/é.mid", ".mid", "a.txt", "d.mid/e.mid", os.fsdecode(b"\xff.mid")])
    some = st.dictionaries(names.map("m/".__add__), st.just(good) | midi_from_nothing() | damaged([good]),
        max_size=5).filter(lambda c: not any(b.startswith(a + "/") for a in c for b in c))
    cache = lambda: shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    def read(case):
        (case / "m").mkdir(exist_ok=True)
        return str(load_midi_folder(case / "m")), str(load_midi_folder(case / "m")) # the second time from the cache
    return Reader({f"m/{s}/{i}.mid": good for s in ("train", "valid", "test") for i in "ab"}, some, read, cache,
        names_file=False)

# Sound

def wavs() -> list[bytes]:
    "Of several kinds and rates, one with a chunk more"
    from scipy.io import wavfile
    rng, made = np.random.default_rng(0), []
    for kind, shape, rate in (("i2", 900, 8000), ("u1", 300, 8000), ("f4", 300, 44100), ("f8", 99, 96000),
            ("i4", (500, 2), 11025), ("i2", (90, 5), 8000)):
        x = rng.normal(0, 0.1, shape) if kind[0] == "f" else rng.integers(0, 200, shape)
        wavfile.write(out := io.BytesIO(), rate, x.astype(kind))
        made.append(out.getvalue())
    return [*made, made[0][:36] + b"LIST\4\0\0\0INFO" + made[0][36:]]

@reader
def sound(folder):
    from gru_study.speech import load_speech
    good = wavs()
    cases = st.builds(lambda data, length: {"x.wav": data, "length": str(length).encode()},
        damaged(good), st.sampled_from([500, 500, 30, 29, 0, -1, 10**9]))
    return Reader({"x.wav": good[0], "length": b"500"}, cases, lambda case: str(load_speech(str(case / "x.wav"),
        int((case / "length").read_text()))), names_file=False)

@reader
def sounds(folder):
    from gru_study.speech import load_speech
    good = wavs()
    names = st.sampled_from(["a.wav", "b.WAV", "._a.wav", "train/a.wav", "valid/b.wav", "test/c.wave",
        "x" * 200 + ".wav", "<b>.wav", "\n.wav", "ü/é.wav", ".wav", "a.txt", "d.wav/e.wav", os.fsdecode(b"\xff.wav")])
    some = st.dictionaries(names.map("w/".__add__), st.sampled_from(good) | damaged(good),
        max_size=5).filter(lambda c: not any(b.startswith(a + "/") for a in c for b in c))
    def read(case):
        (case / "w").mkdir(exist_ok=True)
        return str(load_speech(str(case / "w")))
    return Reader({f"w/{s}/{i}.wav": good[0] for s in ("train", "valid", "test") for i in "ab"}, some, read,
        names_file=False)

@reader
def archive(folder):
    "Not only as it came, but also with what is packed in it damaged"
    import tarfile
    from gru_study.datasets import archived, digest_of_all
    plain = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(fileobj=(out := io.BytesIO()), mode="w", format=kind) as tar:
            for i, content in enumerate(wavs()[:3]):
                m = tarfile.TarInfo(f"{'x' * 60 * i}/{i}.wav")
                m.size = len(content)
                tar.addfile(m, io.BytesIO(content))
        plain.append(out.getvalue())
    good = [gzip.compress(p) for p in plain]
    return Reader({"x.tar.gz": good[0]}, one("x.tar.gz", damaged(good) | damaged(plain).map(gzip.compress)),
        lambda case: digest_of_all(archived((case / "x.tar.gz").read_bytes(), str(case / "x.tar.gz"))))

# Text

PROSE = "Ein Hund läuft.\nZwei Männer sitzen auf einer Bank.\n\nEine Frau liest.\r\n".encode() * 3
prose = damaged([PROSE, b"\xef\xbb\xbf" + PROSE, PROSE.replace(b"\n", b"\r\n"), b""]) | st.lists(texts,
    max_size=8).map(lambda lines: "\n".join(lines).encode(errors="surrogatepass")) | st.sampled_from([b"\n" * 500_000,
    b"x" * 10_000_000, b"\xff\xfe" + "Hund".encode("utf-16-le"), b"\0" * 1000])
packed = st.builds(lambda data, times: gzip.compress(data, 1, mtime=0) * times, prose,
    st.sampled_from([1, 1, 2])) | damaged([gzip.compress(PROSE, mtime=0)]) | st.just(gzip.compress(PROSE,
    mtime=0)[:-4] + b"\xff" * 4)

@reader
def lines(folder):
    from gru_study.corpora import read_lines
    def read(case):
        for f in case.iterdir():
            found, data = read_lines(f), f.read_bytes() if f.suffix != ".gz" else gzip.decompress(f.read_bytes())
            told = data.removeprefix(b"\xef\xbb\xbf").decode().split("\n") # at once: another way to the same
            assert found == [line.removesuffix("\r") for line in told[:len(told) - (not told[-1])]]
    return Reader({"x.txt": PROSE, "x.gz": gzip.compress(PROSE)}, one("x.txt", prose) | one("x.gz", packed), read)

@reader
def tsv(folder):
    from gru_study.corpora import load_own, read_tsv
    good = b"Ein Hund.\tA dog.\nEine Katze.\tA cat.\r\n\tnothing\n" * 30
    row = st.lists(texts | st.sampled_from(["Hund", "Katze", "", " "]), min_size=1, max_size=3).map("\t".join)
    made = st.lists(row, max_size=60).map(lambda rows: "\n".join(rows).encode(errors="surrogatepass"))
    def read(case): return read_tsv(case / "x.tsv"), str(load_own(str(case / "x"), ("de", "en")))
    return Reader({"x.tsv": "".join(f"Satz {i}.\tSentence {i}.\n" for i in range(60)).encode()},
        one("x.tsv", made | damaged([good])), read)

@reader
def own(folder):
    from gru_study.corpora import load_own
    sides = [f"{split}.{l}{z}" for split in ("train", "valid", "test") for l in ("de", "en") for z in ("", ".gz")]
    content = lambda name: packed if name.endswith(".gz") else prose
    some = st.sets(st.sampled_from(sides[:4] + sides),
        min_size=1).flatmap(lambda names: st.fixed_dictionaries({f"x/{n}": content(n) | st.just(gzip.compress(PROSE,
        mtime=0) if n.endswith("gz") else PROSE) for n in sorted(names)}))
    pair = st.fixed_dictionaries({"x.de": prose, "x.en": prose | st.just(PROSE)})
    read = lambda case: str(load_own(str(case / "x"), ("de", "en"))) if any(case.iterdir()) else None
    return Reader({f"x/{s}": PROSE for s in sides[::2]}, some | pair, read, names_file=False)

TALK = b"<url>http://x</url>\n<speaker>A</speaker>\n Ein Satz.\nNoch einer.\n<reviewer></reviewer>\n" * 3
XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<mteval><refset setid="x"><doc docid="1"><url>u</url><seg id="1"> Ein Satz. </seg>
<seg id="2">Zwei &amp; drei.</seg></doc></refset></mteval>
"""
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(b'<!ENTITY %c "%s">' % (98 + i,
    b"&%c;" % (97 + i) * 10) for i in range(10)) + b"]><x><seg>&k;</seg></x>"
EVIL_XML = [LAUGHS, b"<seg>" * 200_000, b"<x>" + b"<seg>" * 3000 + b"</seg>" * 3000 + b"</x>",
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x><seg>&a;</seg></x>', XML.replace(b"UTF-8", b"UTF-16"),
    XML.replace(b"UTF-8", b"utf-7"), XML.replace(b"UTF-8", b"klingon"), XML.replace(b"UTF-8", b"cp037"),
    XML.decode().encode("utf-16"), XML.replace(b"UTF-8", b"EUC-JP"), XML.replace(b"Satz", b"&#0;"),
    XML.replace(b"Satz", b"&#xD800;"), b"", b"<a/>"]

@reader
def iwslt(folder):
    from gru_study.corpora import read_segments, read_tagged
    def read(case):
        return [[l.encode() for l in (read_segments if f.suffix == ".xml" else read_tagged)(f)] for f in case.iterdir()]
    return Reader({"x.xml": XML, "train.tags.x": TALK}, one("x.xml",
        damaged([XML]) | st.sampled_from(EVIL_XML) | damaged(EVIL_XML, 1)) | one("train.tags.x",
        damaged([TALK]) | prose), read, always=[{"x.xml": x} for x in EVIL_XML])

# Runs

def put(files: Case, name: str, contents): return contents.map(lambda data: files | {name: data})

def files_of(home: Path) -> Case:
    "What a finished run leaves, but locks and digests: whoever damages a file on purpose leaves those out"
    return {f.relative_to(home).as_posix(): f.read_bytes() for f in sorted(home.rglob("*")) if f.is_file()
        and f.name not in (".lock", "digests.json")}

def at_home(home: Path, call: Callable):
    "Call with this study home"
    before = os.environ["GRU_STUDY_HOME"]
    os.environ["GRU_STUDY_HOME"] = str(home)
    try: return call()
    finally: os.environ["GRU_STUDY_HOME"] = before

def music_run(folder: Path) -> Case:
    "The files of a small run"
    from gru_study.files import write_file
    from gru_study.experiment import Experiment
    from gru_study.sets import to_npz
    from gru_study.train import fit
    at_home(folder / "good", lambda: fit(Experiment(data=str(write_file(folder / "toy.npz", to_npz(toy_set()))),
        hidden=3, epoch=3, engine="torch", save_dir="r")))
    os.environ["GRU_STUDY_HOME"] = str(folder / "case")
    return files_of(folder / "good")

def text_run(folder: Path) -> Case:
    from gru_study.experiment import Experiment
    from gru_study.train import fit
    at_home(folder / "good", lambda: fit(Experiment(task="translate", hidden=4, emb=4, epoch=1, beam=1,
        train_subset=200, valid_subset=20, save_dir="r")))
    os.environ["GRU_STUDY_HOME"] = str(folder / "case")
    return files_of(folder / "good")

EVIL = "from pathlib import Path\nPath({!r}).touch()\ndef x(*a): return a\n"

@reader
def config(folder):
    from gru_study.folder import Run
    files = music_run(folder)
    (folder / "evil_cell.py").write_text(EVIL.format(str(folder / "executed")))
    sys.path.insert(0, str(folder))
    good = json.loads(files["exp/r/config.json"])
    code = st.sampled_from([f"{folder}/evil_cell.py:x", "evil_cell:x", "evil_cell:no", ":x", "x:", "a.b:c", "..:x",
        ".py:x"]).map(lambda rnn: json.dumps(good | {"rnn": rnn}).encode())
    ours, german = (json.dumps(c).encode() for c in (good, {"task": "translate", "data": "captions_de_en"}))
    def read(case):
        sys.modules.pop("evil_cell", None)
        return repr(Run("r").experiment), Run("r").outcome(), Run("r").experiment.model_dump()
    return Reader(files, put(files, "exp/r/config.json", json_files(ours, german) | code), read)

def tell(table): return table.to_string(index=False).encode()

@reader
def result(folder):
    from gru_study.folder import Run
    from gru_study.study import collect, readable, shared_settings, study_table
    from gru_study.train import Result
    files = music_run(folder)
    def read(case):
        if outcome := Run("r").outcome(): str(Result(Run("r"), outcome)).encode()
        return tell(readable(study_table(collect()))), shared_settings(study_table(collect())).encode()
    return Reader(files, put(files, "exp/r/result.json", json_files(files["exp/r/result.json"])), read,
        names_file=False)

@reader
def translated(folder):
    from gru_study.folder import Run
    from gru_study.train import Result
    from gru_study.translations import collect_translations, translation_table
    files = text_run(folder)
    def read(case):
        if outcome := Run("r").outcome(): str(Result(Run("r"), outcome)).encode()
        return [tell(translation_table(study,
            data)) for study in [collect_translations()] for data in dict.fromkeys(study.runs.data)]
    return Reader(files, put(files, "exp/r/result.json", json_files(files["exp/r/result.json"])), read,
        names_file=False)

@reader
def metrics(folder):
    from gru_study.folder import Run
    from gru_study.runs import history
    from gru_study.study import collect
    from gru_study.sweep import epochs_done
    files = music_run(folder)
    made = st.lists(st.lists(numbers.map(repr) | texts, max_size=8).map(",".join),
        max_size=5).map(lambda rows: "\n".join(rows).encode(errors="surrogatepass"))
    head = files["log/r/metrics.csv"].split(b"\n")[0]
    def read(case): return history(Run("r")), epochs_done(Run("r").log), collect()
    return Reader(files, put(files, "log/r/metrics.csv",
        damaged([files["log/r/metrics.csv"]]) | made | made.map(lambda rows: head + b"\n" + rows)), read)

@reader
def weights(folder):
    from gru_study.folder import Run
    from gru_study.composing import load_model
    files = music_run(folder)
    good = files["exp/r/model.safetensors"]
    n = struct.unpack("<Q", good[:8])[0]
    header = lambda text: struct.pack("<Q", len(text)) + text + good[8 + n:]
    made = json_files(good[8:8 + n]).map(header) | st.sampled_from([2**63, 10**9, 0,
        n + 10**6]).map(lambda k: struct.pack("<Q", k) + good[8:])
    return Reader(files, put(files, "exp/r/model.safetensors", damaged([good]) | made),
        lambda case: load_model(Run("r")))

@reader
def checkpoint(folder):
    from gru_study.folder import Run
    from gru_study.engines import make_engine
    from gru_study.train import experiment_data, history_csv, load_checkpoint
    files = music_run(folder)
    e = at_home(folder / "good", lambda: Run("r").experiment)
    data = experiment_data(e)
    good = files["exp/r/checkpoint.pt"]
    names = zipfile.ZipFile(io.BytesIO(good)).namelist()
    pickled = next(n for n in names if n.endswith("data.pkl"))
    @st.composite
    def inside(draw):
        "One member of the archive was damaged before it was packed, or packs a flood"
        which = draw(st.sampled_from([pickled] * 4 + names))
        with zipfile.ZipFile(out := io.BytesIO(), "w", draw(st.sampled_from([0, 0, 8]))) as z:
            for n in names:
                z.writestr(n, draw(damaged([zipfile.ZipFile(io.BytesIO(good)).read(n)]) | st.sampled_from(PICKLES))
                    if n == which else zipfile.ZipFile(io.BytesIO(good)).read(n))
        return out.getvalue()
    def read(case):
        progress = load_checkpoint(Run("r"), make_engine(e, data))
        return history_csv(progress.history), progress.stale(3), progress.seconds
    return Reader(files, put(files, "exp/r/checkpoint.pt", damaged([good]) | inside()), read)

# A call of os.system; a list within a list, 100,000 deep; a promise of 4 GB; a long counting of memo; an empty stack.
PICKLES = [b"cos\nsystem\n(S'touch executed'\ntR.", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    b"\x80\x04\x8e" + b"\xff\xff\xff\xff\0\0\0\0.", b"\x80\x02" + b"]r\xff\xff\xff\x7f.", b"\x80\x02.",
    b"\x80\x02K\1.", b"\x80\x02}.", b""]

@reader
def vocabulary(folder):
    from gru_study.folder import Run
    from gru_study.translating import load_fields, vocabulary_sizes
    files = text_run(folder)
    def read(case):
        fields = load_fields(Run("r"))
        return vocabulary_sizes(fields), [f.process([f.preprocess("Ein Hund läuft .")]) for f in fields]
    return Reader(files, put(files, "exp/r/vocabulary.json", json_files(files["exp/r/vocabulary.json"])), read)

def search_files(folder: Path) -> Case:
    from gru_study.files import write_file
    from gru_study.experiment import Search
    from gru_study.search import search
    from gru_study.sets import to_npz
    at_home(folder / "good", lambda: search(Search(data=str(write_file(folder / "toy.npz", to_npz(toy_set()))),
        hidden=3, epoch=2, engine="torch", trials=2, seeds=1, workers=1, pruner="median", save_dir="s")))
    os.environ["GRU_STUDY_HOME"] = str(folder / "case")
    return files_of(folder / "good")

@reader
def searched(folder):
    from gru_study.experiment import Search
    from gru_study.folder import Run
    from gru_study.study import collect, lost_rows, readable, study_table
    from gru_study.search import SearchResult
    files = search_files(folder)
    def read(case):
        run = Run("s")
        run.asked(Search)
        if facts := run.outcome(Search): str(SearchResult(run, facts)).encode(), SearchResult(run, facts).results
        return lost_rows(run), tell(readable(study_table(collect())))
    return Reader(files, put(files, "exp/s/search.json", json_files(files["exp/s/search.json"])) | put(files,
        "exp/s/search_result.json", json_files(files["exp/s/search_result.json"])), read)

@reader
def database(folder):
    from gru_study.experiment import Search
    from gru_study.folder import Run
    from gru_study.search import open_study, queue_trials, trial_row
    from optuna.trial import TrialState
    files = search_files(folder)
    s = at_home(folder / "good", lambda: Run("s").asked(Search))
    def read(case):
        study = open_study(s, case / "exp/s")
        try:
            return queue_trials(s, study), [trial_row(t) for t in study.get_trials()
                if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        finally: study._storage._backend.engine.dispose()
    only = {n: c for n, c in files.items() if n in ("exp/s/search.json", "exp/s/search.db")}
    return Reader(files, put(only, "exp/s/search.db", damaged([files["exp/s/search.db"]]) | st.sampled_from([b"",
        b"no database", b"SQLite format 3\0" + b"\0" * 5000])), read)

@reader
def recorded(folder):
    from gru_study.study import collect, read_study, readable, shared_settings, study_table, write_study
    music_run(folder)
    at_home(folder / "good", lambda: write_study(collect(), folder / "kept/r"))
    files = files_of(folder / "kept")
    read = lambda case: (tell(readable(study_table(read_study(case / "r")))),
        shared_settings(study_table(read_study(case / "r"))))
    one_of = [put(files, n, json_files(files[n]) if n.endswith("json") else damaged([files[n]])) for n in files]
    return Reader(files, st.one_of(one_of), read)

# Grids and notebooks

NOTEBOOK = ROOT / "nbs/experiments/music_lm.ipynb"
YAMLS = [*(f.read_bytes() for f in sorted(NOTEBOOK.parent.glob("*.yaml"))),
    b"- {rnn: [gru, tanh], lr: [1.0e-3, 1e-3], seed: [1, 2]}\n- {rnn: lstm, hidden: [3]}\n",
    b"base: &b {seed: [1]}\nx:\n  <<: *b\n"]
ALIASES = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i,
    b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(8))
EVIL_YAML = [ALIASES, b"[" * 3000, b"{a: " * 3000, b"? " * 3000, b"- " * 3000, b"&a [*a]", b"rnn: &a [*a]",
    b"rnn: !!python/name:os.system", b"!!set {rnn}", b"!!omap [rnn: gru]", b"rnn: !!binary aGFsbG8=",
    b"seed: 2026-01-01", b"seed: 190:20:30", b"rnn: [.nan, .inf, ~]", b"seed: " + b"9" * 5000, b"lr: [1_000.5]",
    b"? [a]\n: b", b"rnn: *x", b"%YAML 9.9\n---\nrnn: gru", b"a: 1\n---\nb: 2", b"\x00", b"rnn: gru\nrnn: tanh",
    b"\xff\xfer\0n\0n\0", b"seed: [" + b",".join(b"%d" % i for i in range(3000)) + b"]",
    b"".join(b"%s: [%s]\n" % (k, b",".join(b"%d" % i for i in range(1, 30))) for k in (b"seed", b"hidden", b"layers",
    b"bs", b"epoch", b"patience", b"lr")), b"!!timestamp x", b"seed: !!int x", b"seed: !!float []",
    b"rnn: !!str {a: b}", b"lr: 1" + b"0" * 400 + b".5"]

@st.composite
def yaml_made(draw) -> bytes:
    import yaml
    names = st.sampled_from(["rnn", "data", "lr", "seed", "hidden", "save_dir", "x"]) | texts
    plain = st.none() | numbers | texts.map(lambda t: t.encode(errors="replace").decode()) | st.binary(
        max_size=5) | st.dates() | st.datetimes()
    value = plain | st.lists(plain, max_size=3) | st.dictionaries(
        texts.map(lambda t: t.encode(errors="replace").decode()), plain, max_size=2)
    return yaml.safe_dump(draw(st.dictionaries(names.map(lambda t: t.encode(errors="replace").decode()), value,
        max_size=3) | st.lists(value, max_size=3))).encode()

@reader
def grids(folder):
    from gru_study.grids import read_grids
    from gru_study.notebooks import check_names
    from gru_study.sweep import make_jobs
    def read(case):
        asked = read_grids([str(case / "g.yaml")])
        check_names(NOTEBOOK, asked)
        return make_jobs(NOTEBOOK, asked, "u")
    good = b"- {rnn: [gru, tanh], lr: [1.0e-3, 1.0e-2], seed: [1, 2]}\n- {rnn: lstm, hidden: [3]}\n"
    made = damaged([*YAMLS, good]) | st.sampled_from(EVIL_YAML) | damaged(EVIL_YAML, 1) | yaml_made()
    return Reader({"g.yaml": good}, one("g.yaml", made), read, names_file=False,
        always=[{"g.yaml": y} for y in EVIL_YAML])


EVIL_WORDS = ["-" * 100_000, "[" * 100_000, "(" * 5000, "1" + "+1" * 50_000, "1j", "b'x'", "{1: 2}", "{[]: 1}", "{{}}",
    "0x" + "f" * 9000, "9" * 5000, "'a'", "None", "f'{1}'", "\\", "1e400", "'\\ud800'", "...", "-" * 300 + "1",
    "lambda: 0", "1 if 1 else 2", "gru", "'''", "\t1", "# x"]

@reader
def words(folder):
    from gru_study.grids import read_grids, typed
    from gru_study.notebooks import check_names
    from gru_study.sweep import make_jobs
    value = texts | numbers.map(repr) | st.sampled_from(EVIL_WORDS)
    word = st.builds(lambda name, values: f"{name}={','.join(values)}",
        st.sampled_from(["rnn", "data", "seed", "lr", "hidden", "save_dir", "task", "epoch", "train_subset"]) | texts,
        st.lists(value, max_size=3)) | value.map("seed={}".format)
    def read(case):
        for word in json.loads((case / "words").read_bytes()): typed(word.partition("=")[2])
        asked = read_grids(json.loads((case / "words").read_bytes()))
        check_names(NOTEBOOK, asked)
        return make_jobs(NOTEBOOK, asked, "u")
    return Reader({"words": b'["rnn=gru,tanh", "seed=1,2"]'},
        one("words", st.lists(word, max_size=3).map(lambda w: json.dumps(w).encode())), read, names_file=False,
        always=[{"words": json.dumps([f"seed={w}"]).encode()} for w in EVIL_WORDS])

CODES = ["n = " + "-" * 100_000 + "1", "n = " + "[" * 5000, "n: int = 3\ns: str = 'a#b' # c", "x = y = 2",
    "(a, b) = 1, 2", "n = 1;m = 2", "%matplotlib inline\nn = 1", "n = 'a'\\\n'b'", "n = '''\n# x\n'''", "\0",
    "def f(): pass", "n =", "n = lambda: 0", "x" * 10**6, "import os; n = os.system('touch executed')",
    "n = 1\r\nm = 2", "é = 1", "n = f'{1}'"]

@reader
def parameters(folder):
    from gru_study.notebooks import notebook_parameters
    from gru_study.sweep import make_jobs
    good = [NOTEBOOK.read_bytes(), NOTEBOOK.with_name("protocol.ipynb").read_bytes()]
    code = st.builds(lambda source: json.dumps({"cells": [{"cell_type": "code", "id": "a", "execution_count": None,
        "outputs": [], "metadata": {"tags": ["parameters"]}, "source": source}],
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}}, "nbformat": 4,
        "nbformat_minor": 5}).encode(), st.sampled_from(CODES) | texts | wild)
    code = code.map(lambda b: b.replace(b'"@deep@"', b"[" * 100_000))
    def read(case):
        return [f"{k}{v}".encode() for k, v in notebook_parameters(case / "n.ipynb").items()], make_jobs(
            case / "n.ipynb", [{}])
    return Reader({"n.ipynb": good[0]}, one("n.ipynb", json_files(*good) | code), read)

@reader
def executed(folder):
    from gru_study.sweep import Job, cells_done, done, is_done, started_at
    nb = json.loads(NOTEBOOK.read_bytes())
    nb["metadata"]["papermill"] = dict(parameters={"n": 1, "s": "a"}, duration=3.2, exception=None,
        start_time="2026-01-01T00:00:00", version="2.7")
    good = json.dumps(nb).encode()
    def read(case):
        job = Job(Path("n.ipynb"), {"n": 1, "s": "a"}, "r", case)
        return done(job), is_done(job), cells_done(job.executed), started_at(job.executed)
    return Reader({"exp/r/n.ipynb": good}, one("exp/r/n.ipynb",
        json_files(good, json.dumps({"metadata": nb["metadata"], "cells": nb["cells"][1:2], "nbformat": 4,
        "nbformat_minor": 5}).encode())), read)

# The command

def run_one(name: str, seconds: float, seed: int) -> int:
    "Fuzz one reader in folders of its own, which are deleted"
    with tempfile.TemporaryDirectory(prefix="fuzz") as d:
        folder = Path(d).resolve()
        os.environ.update(GRU_STUDY_HOME=str(folder / "case"), XDG_CACHE_HOME=str(folder / "cache"))
        os.environ.pop("GRU_STUDY_DATA", None)
        os.chdir(folder)
        try: found = fuzz(name, seconds, seed, folder)
        finally: SAID.end()
    print(line_of(name, found), flush=True)
    return bool(found.escaped)

def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=[*READERS, "all"])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    a = parser.parse_args()
    if a.reader != "all": return run_one(a.reader, a.seconds, a.seed)
    from concurrent.futures import ThreadPoolExecutor
    command = lambda name: [sys.executable, __file__, name, "--seconds", str(a.seconds), "--seed", str(a.seed)]
    with ThreadPoolExecutor(a.workers) as pool:
        return max(pool.map(lambda name: subprocess.run(command(name)).returncode, READERS))

if __name__ == "__main__": sys.exit(main())
