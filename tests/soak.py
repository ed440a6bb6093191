"""Long trials: `make soak`, or `python tests/soak.py --part NAME --kills 50 --flips 200 --home build/soak`.

Commands that are killed by SIGKILL at random moments, again and again, end as if nothing had been; processes side by
side do not hurt each other; the same command gives the same bits; memory stays flat; a flipped bit in a file of a run
is noticed. One line of result a part, kept in HOME/results.json: a part that went well is not run again. The exit code
is 1 if anything is lost."""
import argparse
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from fuzz import at_home, toy_set

from gru_study.base import BadInput, Failed
from gru_study.files import write_file
from gru_study.midi import write_midi
from gru_study.sets import to_npz

ROOT = Path(__file__).parents[1]
COMMAND = ("-c", "import sys; from gru_study.cli import main; sys.exit(main())") # gru-study, for any Python
PARTS: dict[str, Callable] = {} # name -> makes the part's line, given a `Soak`; raises `Lost`

class Lost(Exception): "What must not happen has happened; says what"

def part(make):
    PARTS[make.__name__] = make
    return make

@dataclass
class Soak:
    "What all parts share"
    home: Path # of this part alone, empty
    kills: int
    flips: int
    fits: int
    megabytes: int
    seed: int

    def __post_init__(self):
        self.rng = random.Random(self.seed)
        self.toy = write_file(self.home / "data/toy.npz", to_npz(toy_set(30)))
        os.environ.update(XDG_CACHE_HOME=str(self.home / "cache"), OMP_NUM_THREADS="1",
            GRU_STUDY_HOME=str(self.home / "inside"))
        os.environ.pop("GRU_STUDY_DATA", None)

    def start(self, home: Path, *words, **env) -> psutil.Popen:
        "The command, in a process group of its own; what it says goes to HOME/said"
        home.mkdir(parents=True, exist_ok=True)
        with (home / "said").open("a") as out:
            env = os.environ | {"GRU_STUDY_HOME": str(home)} | env
            return psutil.Popen([sys.executable, *COMMAND, *map(str, words)], cwd=home, env=env, stdout=out,
                stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self, home: Path, *words, **env) -> None:
        "The command, to its end, which must be a good one"
        if code := self.start(home, *words, **env).wait(): raise Lost(f"exit code {code}: {last(home)}")

def last(home: Path) -> str:
    "What a command said last"
    said = (home / "said").read_text(errors="replace").replace("\r", "\n").splitlines()
    return said[-1] if said else "nothing"

# What is compared

TIMES = ("seconds", "recorded", "commit", "core_hours", "provenance")

def without_times(value):
    "JSON without what differs from run to run"
    if isinstance(value, dict): return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    return [*map(without_times, value)] if isinstance(value, list) else value

def content(path: Path):
    "What a file says, but for times"
    if path.suffix == ".json": return without_times(json.loads(path.read_text()))
    if path.suffix == ".csv":
        with path.open() as f: return [without_times(row) for row in csv.DictReader(f)]
    if path.suffix == ".pt":
        import torch
        return repr(without_times(torch.load(path, weights_only=True)))
    return path.read_bytes()

UNTOLD = ("said", ".lock", "search.db",
    "digests.json") # and notebooks and pages, which hold times: that they are there is enough

def outcome(home: Path, *roots: str) -> dict[str, object]: # file -> what it says
    "All that a command has left"
    files = [f for root in roots or ("",) for f in sorted((home / root).rglob("*")) if f.is_file()
        and "cache" not in f.relative_to(home).parts]
    told = {f.relative_to(home).as_posix(): f for f in files if f.name not in UNTOLD and not f.name.startswith(".")}
    return {name: content(f) if f.suffix not in (".ipynb", ".html", ".inputs") else True for name, f in told.items()}

def same(found: dict, calm: dict, what: str = "") -> None:
    "Two outcomes are equal; raises `Lost` naming the files that are not"
    if wrong := sorted(k for k in found.keys() | calm.keys() if k not in found or k not in calm or found[k] != calm[k]):
        raise Lost(f"{what}{', '.join(wrong[:4])}{' ...' * (len(wrong) > 4)} differ from the undisturbed run")

def finished(home: Path) -> dict[Path, tuple]:
    "Every result there is: when it was written, and what it says"
    ends = ("result.json", "search_result.json")
    return {f: (f.stat().st_mtime_ns, f.read_bytes()) for end in ends for f in home.glob(f"exp/**/{end}")}

def leftovers(home: Path) -> int: return sum(1 for _ in home.rglob(".*.tmp"))

# Kills

def killed(soak: Soak, words: list, prepare: Callable[[Path], object] = lambda home: None,
    tell: Callable[[Path], dict] = outcome, own_cache: bool = False, **env) -> str:
    "Kill a command until so many kills hit it alive; whenever it ends all is compared, and it starts from nothing"
    def fresh(name):
        shutil.rmtree(home := soak.home / name, ignore_errors=True)
        home.mkdir()
        prepare(home)
        return home, env | ({"XDG_CACHE_HOME": str(home / "cache")} if own_cache else {})
    for name in ("warm", "calm"): # the first may have to compile
        home, where = fresh(name)
        start = time.monotonic()
        soak.run(home, *words, **where)
    usual, calm, hits, rounds = time.monotonic() - start, tell(home), 0, 0
    if not calm: raise Lost("the undisturbed run left nothing to compare")
    while hits < soak.kills or not rounds:
        home, where = fresh("hurt")
        seen: dict[Path, tuple] = {}
        while True:
            process = soak.start(home, *words, **where)
            try: code = process.wait(soak.rng.uniform(0.1, 1)*usual if hits < soak.kills else None)
            except psutil.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                hits += process.wait() == -signal.SIGKILL
                now = finished(home)
                if anew := [f for f in seen if now.get(f) != seen[f]]:
                    raise Lost(f"after {hits} kills: {anew[0].relative_to(home)} was written anew")
                seen = now
                continue
            if code: raise Lost(f"after {hits} kills: exit code {code}: {last(home)}")
            if anew := [f for f in seen if finished(home).get(f) != seen[f]]:
                raise Lost(f"after {hits} kills: {anew[0].relative_to(home)} was written anew")
            same(tell(home), calm, f"after {hits} kills: ")
            rounds += 1
            break
    left = leftovers(home)
    line = f"{hits} kills within {usual:.1f} s, {rounds} times to the end, each as if undisturbed"
    return line + f"; {left} temporary files left"*bool(left)

def train(soak: Soak, *flags) -> list:
    return ["train", "--data", soak.toy, "--hidden", 8, "--weight_noise", 0.05, "--epoch", 300, "--save_dir", "r",
        *flags]

@part
def train_fused(soak): return killed(soak, train(soak, "--engine", "fused", "--epoch", 500))

@part
def train_torch(soak): return killed(soak, train(soak, "--engine", "torch", "--epoch", 12))

CAPTIONS = ["train", "--task", "translate", "--hidden", 8, "--emb", 8, "--beam", 1, "--valid_subset", 50, "--save_dir",
    "r"]

@part
def train_translate(soak): return killed(soak, [*CAPTIONS, "--epoch", 4, "--train_subset", 600])

@part
def search(soak):
    return killed(soak, ["search", "--data", soak.toy, "--hidden", 6, "--epoch", 400, "--trials", 4, "--seeds", 2,
        "--workers", 2, "--save_dir", "s"])

def grid(soak: Soak) -> list:
    return ["sweep", "music_lm", "--grid", "rnn=tanh,gru", "seed=1,2", f"data={soak.toy}", "hidden=6", "epoch=200",
        "--workers", 2, "--under", "u"]

@part
def sweep(soak): return killed(soak, grid(soak))

def midi_folder(soak: Soak) -> Path:
    "Files enough for a second of reading"
    folder, toy = soak.home / "data/midi", toy_set(30)
    for i in range(600): write_midi(toy.train[i % 30].repeat(40, 0), folder / f"{i}.mid", 0.5)
    return folder

@part
def data(soak):
    return killed(soak, ["data", midi_folder(soak)],
        tell=lambda home: {f.name: f.read_bytes() for f in home.glob("cache/gru-study/sets/*.npz")}, own_cache=True)

def some_runs(soak: Soak) -> Callable[[Path], object]:
    "Finished runs to be told of: put into a home"
    at = soak.home / "runs"
    for rnn in ("tanh", "gru"): soak.run(at, *train(soak, "--rnn", rnn, "--epoch", 20, "--save_dir", f"r/{rnn}"))
    (at / "said").unlink()
    return lambda home: shutil.copytree(at, home, dirs_exist_ok=True)

def printed(home: Path) -> dict:
    "The table that a command printed at its end, and the page it wrote"
    page = (home / "exp/summary.html").read_text()
    return {"table": re.findall(r"(?s)( *data .*?)\nreport: ", (home / "said").read_text())[-1],
        "page": page.rstrip().endswith("</html>")} | outcome(home, "exp", "log")

@part
def report(soak): return killed(soak, ["report"], some_runs(soak), printed)

@part
def record(soak): return killed(soak, ["record", "--out", "kept"], some_runs(soak))

def sample(soak: Soak, name: str) -> str:
    return killed(soak, ["sample", "--out", name, "--pieces", 3, "--steps", 200],
        tell=lambda home: {f.name: f.read_bytes() for f in home.iterdir() if f.is_file()
        and f.suffix == Path(name).suffix})

@part
def sample_mid(soak): return sample(soak, "x.mid")
@part
def sample_wav(soak): return sample(soak, "x.wav")
@part
def sample_npz(soak): return sample(soak, "x.npz")

# Side by side

def both(soak: Soak, home: Path, *words, **env) -> list[tuple[int, str]]: # exit code, last line
    "The same command twice at once"
    outs = [(home.parent / f"{home.name}-{i}.said") for i in range(2)]
    home.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"GRU_STUDY_HOME": str(home)} | env
    processes = [subprocess.Popen([sys.executable, *COMMAND, *map(str, words)], cwd=home, env=env, stdout=o.open("w"),
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) for o in outs]
    codes = [p.wait() for p in processes]
    texts = [o.read_text(errors="replace") for o in outs]
    if "Traceback" in "".join(texts):
        raise Lost("a traceback: " + next(t for t in texts if "Traceback" in t).splitlines()[-1])
    return [(code, text.replace("\r", "\n").strip().splitlines()[-1]) for code, text in zip(codes, texts)]

TIMES_OVER = 5

@part
def two_in_one_run(soak):
    "One trains and the other says so, or both come to the same end"
    soak.run(soak.home / "calm", *train(soak, "--epoch", 1000))
    calm, ends = outcome(soak.home / "calm"), []
    for i in range(TIMES_OVER):
        found = both(soak, home := soak.home / f"two{i}", *train(soak, "--epoch", 1000))
        if wrong := [text for code, text in found if code and not (code == 2
            and "another process is training" in text)]:
            raise Lost(wrong[0])
        if all(code for code, _ in found): raise Lost("neither of them has trained")
        same(outcome(home), calm)
        ends.append(sum(not code for code, _ in found))
    how = f"{ends.count(2)} times both ended well, {ends.count(1)} times one gave way"
    return f"{TIMES_OVER} pairs: {how}; the same result each time"

@part
def two_on_one_cache(soak):
    "Both build the set, or one finds what the other has built"
    for what, words in (("sets", ["data", midi_folder(soak)]),
        ("tokens", [*CAPTIONS, "--epoch", 1, "--train_subset", 50])):
        kept = []
        for i in range(TIMES_OVER):
            cache = soak.home / f"cold-{what}{i}"
            if wrong := [text for code, text in both(soak, soak.home / f"h-{what}{i}", *words,
                XDG_CACHE_HOME=str(cache)) if code and "another process is training" not in text]:
                raise Lost(wrong[0])
            kept.append({f.name: f.read_bytes() for f in (cache / "gru-study" / what).iterdir()
                if not f.name.startswith(".")})
        for other in kept[1:]: same(other, kept[0], f"cache of {what}: ")
    return f"{2*TIMES_OVER} pairs on a cold cache: the same bytes each time"

@part
def two_in_one_folder(soak):
    "Two sweeps under one folder"
    soak.run(soak.home / "calm", *grid(soak))
    if wrong := [text for code, text in both(soak, soak.home / "two", *grid(soak)) if code]: raise Lost(wrong[0])
    same(outcome(soak.home / "two"), outcome(soak.home / "calm"))
    return "two sweeps under one folder: both ended well, the same results"

@part
def report_in_a_sweep(soak):
    "Reports while runs come and go"
    process, said, home = soak.start(soak.home / "h", *grid(soak)), [], soak.home / "h"
    while process.poll() is None:
        done = subprocess.run([sys.executable, *COMMAND, "report", "--under", "u"], cwd=home,
            env=os.environ | {"GRU_STUDY_HOME": str(home)}, capture_output=True, text=True)
        if done.returncode and "found no finished run" not in done.stderr:
            raise Lost(f"report, exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
        said.append(done.returncode)
    if process.wait(): raise Lost(last(home))
    soak.run(soak.home / "calm", *grid(soak))
    ours = {k: v for k, v in outcome(home).items() if "summary" not in k}
    same(ours, outcome(soak.home / "calm"))
    return f"{len(said)} reports during a sweep, {said.count(0)} of them with a table; the sweep as without them"

@part
def same_bits(soak):
    "One or two threads, any hash seed, alone or in a sweep"
    for name, words in (("fused", train(soak, "--engine", "fused")),
        ("torch", train(soak, "--engine", "torch", "--epoch", 20)),
        ("translate", [*CAPTIONS, "--epoch", 2, "--train_subset", 600])):
        homes = {}
        for threads, seed in ((1, 0), (1, 1), *([(2, 0)] if name != "translate" else [])):
            # torch's sums over a large matrix depend on how many share it
            homes[threads, seed] = home = soak.home / f"{name}-{threads}-{seed}"
            soak.run(home, *words, OMP_NUM_THREADS=str(threads), PYTHONHASHSEED=str(seed))
        for key, home in homes.items():
            same(outcome(home), outcome(homes[1, 0]), f"{name}, {key[0]} threads, hash seed {key[1]}: ")
    soak.run(soak.home / "swept", "sweep", "music_lm", "--grid", f"data={soak.toy}", "hidden=6", "epoch=50",
        "seed=1,2", "--under", "u")
    for seed in (1, 2):
        soak.run(alone := soak.home / "alone", "train", "--data", soak.toy, "--hidden", 6, "--epoch", 50, "--seed",
            seed, "--save_dir", f"u/music_lm/toy/gru/seed={seed}")
    same(outcome(alone), {k: v for k, v in outcome(soak.home / "swept").items() if not k.endswith((".ipynb",
        ".html"))}, "alone and in a sweep: ")
    return "hash seeds 0 and 1, in music 1 and 2 threads, alone and in a sweep: the same bits"

# Memory

FITS = """
import json, sys, psutil
from gru_study.experiment import Experiment
from gru_study.train import fit
me, seen = psutil.Process(), {}
for i in range(1, int(sys.argv[2]) + 1):
    fit(Experiment(data=sys.argv[1], hidden=3, epoch=1, seed=i, engine=("fused", "torch")[i % 2], save_dir=f"m/{i}"))
    if i in (int(sys.argv[2])//10, int(sys.argv[2])): seen[i] = [me.memory_info().rss, me.num_fds(), me.num_threads()]
print(json.dumps([*seen.values()]))
"""

@part
def many_fits(soak):
    "Short runs in one process"
    done = subprocess.run([sys.executable, "-c", FITS, str(soak.toy), str(soak.fits)],
        env=os.environ | {"GRU_STUDY_HOME": str(soak.home / "h")}, capture_output=True, text=True)
    if done.returncode: raise Lost(done.stderr.strip().splitlines()[-1])
    (rss, files, threads), (rss2, files2, threads2) = json.loads(done.stdout.splitlines()[-1])
    line = f"{soak.fits:,} fits in one process: after a tenth and at the end {rss >> 20} and {rss2 >> 20} MiB, "
    line += f"{files} and {files2} open files, {threads} and {threads2} threads"
    if rss2 > rss + 20*2**20 or files2 > files or threads2 > threads: raise Lost(line)
    return line

def corpus(soak: Soak, megabytes: int) -> str:
    "A parallel corpus of this size on disk, both sides: the captions, again and again with other numbers of persons"
    from gru_study.captions import captions
    (folder := soak.home / "data").mkdir(exist_ok=True)
    size = i = 0
    with (folder / "big.de").open("w") as de, (folder / "big.en").open("w") as en:
        while size < megabytes * 10**6:
            i += 1
            for g, e in captions():
                size += de.write(f"{i} : {g}\n") + en.write(f"{i} : {e}\n")
    return f"{folder}/big_de_en"

@part
def big_corpus(soak):
    "Time and memory to the end of the first epoch of a part, and what is said of the whole"
    name, told = corpus(soak, soak.megabytes), []
    for flags in (["--train_subset", 2000], []):
        process, start, peak = soak.start(home := soak.home / f"h{len(flags)}", "train", "--task", "translate",
            "--data", name, "--hidden", 8, "--emb", 8, "--beam", 1, "--valid_subset", 20, "--epoch", 1, "-v",
            "--save_dir", "r", *flags), time.monotonic(), 0
        while process.poll() is None and time.monotonic() - start < 900 and not (home / "exp/r/config.json").exists():
            try: peak = max(peak, process.memory_info().rss)
            except psutil.Error: pass
            time.sleep(0.2)
        took, code = time.monotonic() - start, process.poll()
        if code is None: os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if code and (code != 2 or "Traceback" in (home / "said").read_text()):
            raise Lost(f"exit code {code}: {last(home)}")
        began = code in (None, 0) and (home / "exp/r/config.json").exists()
        what = "first update" if began else last(home) if code else "nothing yet"
        told.append(f"{' '.join(map(str, flags)) or 'the whole'}: {what} after {took:.0f} s, {peak/2**30:.2f} GiB")
    return f"{soak.megabytes} MB: " + "; ".join(told)

# Flipped bits

def flip_file(soak: Soak, path: Path, read: Callable[[], object],
    before: Callable[[], object] = lambda: None) -> tuple[str, int]:
    "Flip bits of a file, one at a time, and read; a line, and how many went wrong"
    before()
    good = path.read_bytes()
    truth, count, example = read(), dict.fromkeys(("refused", "harmless", "unnamed", "unnoticed", "traceback"), 0), ""
    for _ in range(soak.flips):
        before()
        bit = soak.rng.randrange(8 * len(good))
        path.write_bytes(good[:bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1:])
        try: kind = "harmless" if read() == truth else "unnoticed"
        except (BadInput, Failed) as e:
            kind, said = "refused" if path.name in str(e) or "digests.json" in str(e) else "unnamed", str(e)
        except Exception as e: kind, said = "traceback", f"{type(e).__name__}: {e}"
        count[kind] += 1
        if kind in ("unnamed", "unnoticed", "traceback") and not example:
            example = f" (bit {bit}: {kind}{': ' + said[:90] if kind != 'unnoticed' else ''})"
        path.write_bytes(good)
    wrong = count["unnamed"] + count["unnoticed"] + count["traceback"]
    kinds = ("unnoticed", "unnamed", "traceback")
    bad = ", ".join(f"{count[k]} {k}" for k in kinds) + example if wrong else "none unnoticed"
    return f"{path.name} {count['refused']} refused, {count['harmless']} harmless, {bad}", wrong

def tensors(state) -> dict[str, bytes]: return {k: v.numpy().tobytes() for k, v in state.items()}

def flips(soak: Soak, what: str, home: Path, readers: list[tuple]) -> str:
    "Flip bits in each of some files"
    told = []
    for path, *how in readers:
        if path.exists(): told.append(at_home(home, lambda: flip_file(soak, path, *how)))
    line = f"{soak.flips} flips each of {what}: " + "; ".join(text for text, _ in told)
    if sum(wrong for _, wrong in told): raise Lost(line)
    return line

@part
def flips_music(soak):
    from gru_study.experiment import Experiment
    from gru_study.folder import Run
    from gru_study.runs import history
    from gru_study.study import collect
    from gru_study.composing import load_model
    from gru_study.train import fit
    e = Experiment(data=str(soak.toy), hidden=3, epoch=3, engine="torch", save_dir="r")
    home, run, kept = soak.home / "h", Run("r"), soak.home / "kept"
    at_home(home, lambda: fit(e))
    shutil.copytree(home, kept)
    def all_of_it(): return run.asked(), run.outcome(), history(run), tensors(load_model(run).state_dict())
    def extend():
        fit(e.model_copy(update=dict(epoch=4, continue_training=True)))
        return outcome(home)
    def restored():
        shutil.rmtree(home)
        shutil.copytree(kept, home)
    exp = home / "exp/r"
    return flips(soak, "a music run", home, [
        (exp / "config.json", lambda: run.asked().model_dump()),
        (exp / "result.json", lambda: (run.outcome(), repr(collect().runs))),
        (home / "log/r/metrics.csv", lambda: history(run)),
        (exp / "model.safetensors", lambda: tensors(load_model(run).state_dict())),
        (exp / "digests.json", all_of_it),
        (exp / "checkpoint.pt", extend, restored)])

@part
def flips_translation(soak):
    from gru_study.experiment import Experiment
    from gru_study.folder import Run
    from gru_study.runs import history
    from gru_study.train import fit
    from gru_study.translating import load_fields, load_translator
    e = Experiment(task="translate", hidden=4, emb=4, epoch=1, schedule="constant", beam=1, train_subset=100,
        valid_subset=10, save_dir="r")
    home, run = soak.home / "h", Run("r")
    at_home(home, lambda: fit(e))
    exp = home / "exp/r"
    def fields(): return [(f.vocab.itos, dict(f.vocab.stoi), f.lower, f.tokenizer_args) for f in load_fields(run)]
    return flips(soak, "a translation run", home, [
        (exp / "config.json", lambda: run.asked().model_dump()),
        (exp / "result.json", run.outcome),
        (home / "log/r/metrics.csv", lambda: history(run)),
        (exp / "model.safetensors", lambda: tensors(load_translator(run)[0].state_dict())),
        (exp / "vocabulary.json", fields),
        (exp / "digests.json", lambda: (fields(), run.outcome()))])

@part
def flips_search(soak):
    from gru_study.experiment import Search
    from gru_study.folder import Run
    from gru_study.search import search
    s = Search(data=str(soak.toy), hidden=3, epoch=2, engine="torch", trials=2, seeds=1, workers=1, save_dir="s")
    home, run, kept = soak.home / "h", Run("s"), soak.home / "kept"
    at_home(home, lambda: search(s))
    shutil.copytree(home, kept)
    def extend(): return search(s.model_copy(update=dict(trials=3, continue_training=True))).facts
    def restored():
        shutil.rmtree(home)
        shutil.copytree(kept, home)
    exp = home / "exp/s"
    return flips(soak, "a search", home, [
        (exp / "search.json", lambda: run.asked(Search).model_dump()),
        (exp / "search_result.json", lambda: run.outcome(Search)),
        (exp / "digests.json", lambda: (run.asked(Search), run.outcome(Search))),
        (exp / "search.db", extend, restored)])

@part
def flips_sweep(soak):
    from gru_study.notebooks import notebook_file, papermill_facts
    from gru_study.sweep import done, is_done, make_jobs
    home = soak.home / "h"
    soak.run(home, "sweep", "music_lm", "--grid", f"data={soak.toy}", "hidden=6", "epoch=3", "--under", "u")
    job, = at_home(home, lambda: make_jobs(notebook_file("music_lm"),
        [{"data": [str(soak.toy)], "hidden": ["6"], "epoch": ["3"]}], "u"))
    return flips(soak, "a sweep", home, [(job.executed,
        lambda: (papermill_facts(job.executed)["parameters"], done(job), is_done(job)))])

@part
def flips_cache(soak):
    from gru_study.midi import load_midi_folder
    folder, sets = midi_folder(soak), soak.home / "cache/gru-study/sets"
    def read():
        data = load_midi_folder(folder)
        return str(data), data.names, [r.tobytes() for s in ("train", "valid", "test") for r in data[s]]
    read()
    return flips(soak, "a cached set", soak.home, [(next(sets.glob("*.npz")), read)])

# The command

def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=[*PARTS])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--fits", type=int, default=2000)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, default=ROOT / "build/soak")
    a = parser.parse_args()
    home = a.home.resolve()
    kept = home / "results.json"
    results, bad = json.loads(kept.read_text()) if kept.exists() else {}, 0
    for name in a.part:
        key = f"{name} {a.kills} {a.flips} {a.fits} {a.megabytes} {a.seed}"
        if key not in results:
            shutil.rmtree(home / name, ignore_errors=True)
            start = time.monotonic()
            try: line, lost = PARTS[name](Soak(home / name, a.kills, a.flips, a.fits, a.megabytes, a.seed)), False
            except Lost as e: line, lost = f"LOST {e}", True
            line += f" ({time.monotonic() - start:.0f} s)"
            if not lost:
                write_file(kept, json.dumps(results := results | {key: line}, indent=1))
                shutil.rmtree(home / name, ignore_errors=True)
        else: line, lost = results[key], False
        print(f"{name}: {line}", flush=True)
        bad += lost
    return min(bad, 1)

if __name__ == "__main__": sys.exit(main())
