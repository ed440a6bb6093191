"""Translation as a stranger uses it: runs that are killed, texts that are broken, lines that are strange.

And the network beside torch's own.
"""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from conftest import DATA, ROOT, gru_study
from test_commands import one_line
from test_resume import start, weights

TINY = "--task translate --hidden 16 --emb 16 --train_subset 200 --valid_subset 40 --beam 1 --bs 40 --lr 0.05".split()
ODD = ["", "Ein Mann liest.", "😀 👨‍👩‍👧 🏳️‍🌈", "שלום עולם", "ein\u2028Mann\u2029liest", "\x01\x1c\x1d\x07 Hund\x85x",
    "\u202eHund\u202c", " \t ", "e\u0301"*50, "Hund\rKatze", "x"*3000, "\u200b", "ﷺ Ǆ İ", "Hund",
    "Ein Hund schläft."]  # lines


def train(save_dir, *flags): return ["train", *TINY, "--save_dir", save_dir, *map(str, flags)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    "A study home with a run, `calm`, that nothing has disturbed"
    home = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRU_STUDY_HOME", str(home))
        done = gru_study(*train("calm", "--epoch", 20))
        assert done.returncode == 0, done.stderr
        yield home


def facts(home, run):
    "All that result.json says of the outcome: scores, sizes, translations, origin"
    return {k: v for k, v in json.loads((home / f"exp/{run}/result.json").read_text()).items()
        if k not in ("config", "seconds")}


FORK = """
import json, os, sys
import gru_study.translating, sacrebleu, torch._dynamo, torchtext.datasets
from gru_study.cli import main
for language in ("de", "en"): gru_study.tokens.tokenizer(language)
for line in sys.stdin:
    words, folder, env, before = json.loads(line)
    if not (child := os.fork()):
        os.environ.update(env)
        for i, name in enumerate(("in", "out", "err")): os.dup2(os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT), i)
        exec(before, {})
        code = main(words)
        sys.stdout.flush()
        os._exit(code)  # without taking torch apart
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    "Run `gru-study` in a process of its own, forked where torch is loaded already: a fraction of the time"
    parent = subprocess.Popen(
        [sys.executable, "-c", FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    def run(*words, stdin=b"", before=""):
        folder = tmp_path_factory.mktemp("command")
        (folder / "in").write_bytes(stdin)
        print(json.dumps([[*map(str, words)], str(folder), dict(os.environ), before]), file=parent.stdin, flush=True)
        code = int(parent.stdout.readline())
        return subprocess.CompletedProcess(words, code,
            *((folder / name).read_bytes().decode() for name in ("out", "err")))
    yield run
    parent.communicate()


# --- killed and started again

# In the process: checkpoints after every epoch, not once a second; `dying` ends it inside the n-th call for which
# `when` holds.
DIE = """
import os, signal, time
import gru_study.translating as t
clock = iter(range(0, 10**6, 10))
time.monotonic = lambda: float(next(clock))
def dying(real, n, when=lambda *args: True):
    calls = 0
    def call(*args, **kw):
        nonlocal calls
        calls += when(*args)
        if calls == n: os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kw)
    return call
"""
IN_A_STEP = DIE + "t.descend = dying(t.descend, 13)"  # of the five updates of epoch 3 the third
# checkpoint.pt is new, metrics.csv old
BETWEEN_TWO_FILES = DIE + "os.replace = dying(os.replace, 2, lambda a, b: str(b).endswith('metrics.csv'))"


def stored_epochs(home, run):
    import torch
    return len(torch.load(home / f"exp/{run}/checkpoint.pt", weights_only=False)["history"])


def goes_on(home, run, epochs, *flags):
    "Start a killed run again: it trains the epochs that are missing and no other"
    before = stored_epochs(home, run)
    assert 0 < before <= epochs and not (home / f"exp/{run}/result.json").exists()
    done = gru_study(*train(run, "--epoch", epochs, "-v", *flags))
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^epoch (\d+):", done.stdout, re.M) == [str(i) for i in range(before + 1, epochs + 1)]


def test_killed_three_times(study, command):
    """Dropout and one cycle of the rate: dead in a step, between two files, and at any moment.

    The end is that of an undisturbed run.
    """
    hurt = train("hurt", "--epoch", 20)
    assert command(*hurt, before=IN_A_STEP).returncode == -signal.SIGKILL
    assert stored_epochs(study, "hurt") == 2
    assert command(*hurt, before=BETWEEN_TWO_FILES).returncode == -signal.SIGKILL
    assert stored_epochs(study, "hurt") == 4 and len(weights(study, "hurt")[1]) == 3
    process = start(*hurt, before=DIE)
    while process.poll() is None and len(weights(study, "hurt")[1]) < 6: time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    goes_on(study, "hurt", 20)
    assert weights(study, "hurt") == weights(study, "calm")
    assert facts(study, "hurt") == facts(study, "calm")


def test_killed_with_a_cell_of_ones_own(study, command, tmp_path):
    (tmp_path / "mine.py").write_text('from gru_study.cells import cell, linear, torch\n\n@cell("state")\n'
        'def relu(wx, h, U, b): return torch.relu(wx + linear(h, U, b))\n')
    rnn = "--rnn", f"{tmp_path}/mine.py:relu"
    assert command(*train("own", "--epoch", 4, *rnn)).returncode == 0
    assert command(*train("own_hurt", "--epoch", 4, *rnn), before=IN_A_STEP).returncode == -signal.SIGKILL
    goes_on(study, "own_hurt", 4, *rnn)
    assert weights(study, "own_hurt") == weights(study, "own") and facts(study, "own_hurt") == facts(study, "own")
    assert facts(study, "own")["cell"] == "relu"


def test_a_finished_run(study, command):
    "The same again trains nothing; something else is refused, and changes nothing"
    stamps = lambda: {p: p.stat().st_mtime_ns for folder in ("exp/calm", "log/calm")
        for p in (study / folder).glob("[!.]*")}
    before = stamps()
    again = command(*train("calm", "--epoch", 20))
    assert again.returncode == 0 and again.stderr == "" and "best of 20 epochs" in again.stdout
    for more, sentence in (
            (["--dropout", 0.1], "dropout: found 0.1, but the run in"),
            (["--beam", 2], "beam: found 2, but the run in"), (["--epoch", 25], "epoch: found 25, but the run in"),
            (["--epoch", 25, "-c"], "continue_training: found True, allowed: with schedule constant")):
        one_line(command(*train("calm", "--epoch", 20, *more)), sentence)
    assert len(before) == 7 and stamps() == before


def test_extended(study, command):
    "With a constant rate a longer run is a shorter one that went on"
    constant = "--schedule", "constant"
    for run, n in (("short", 2), ("long", 5)): assert command(*train(run, "--epoch", n, *constant)).returncode == 0
    done = command(*train("short", "--epoch", 5, *constant, "-c", "-v"))
    assert done.returncode == 0 and re.findall(r"^epoch (\d+):", done.stdout, re.M) == ["3", "4", "5"]
    assert weights(study, "short") == weights(study, "long") and facts(study, "short") == facts(study, "long")
    assert weights(study, "short") != weights(study, "calm")


# --- texts of one's own

LINES = "".join(f"Zeile {i}\n" for i in range(40)).encode()

HOSTILE = {  # name of the corpus: its files, what is said
    "unequal_de_en": ({"unequal.de": LINES, "unequal.en": LINES[:-9]},
        "unequal_de_en: found 40 source and 39 target lines"),
    "latin_de_en": ({"latin.de": LINES, "latin.en": LINES + b"Gr\xfc\xdfe\n"}, "latin.en: line 41 is not UTF-8"),
    "utf16_de_en": ({"utf16.de": LINES.decode().encode("utf-16"), "utf16.en": LINES}, "utf16.de: line 1 is not UTF-8"),
    "half_de_en": ({"half.de": LINES}, "half.en: no such file"),
    "split_de_en": ({f"split/{s}.{l}": LINES for s in ("train", "valid") for l in ("de", "en")},
        "split/test.en: no such file"),
    "there_de_qq": ({"there.de": LINES, "there.qq": LINES}, "allowed: languages that spaCy knows, not qq"),
    "three_de_en": ({"three.tsv": b"Hund\tdog\nHund\tbig\tdog\n"},
        "three.tsv: line 2: found 3 column(s), allowed: source, a tab and target"),
    "one_de_en": ({"one_de_en.tsv": b"Hund\tdog\n\nKatze\n"}, "one_de_en.tsv: line 2: found 1 column(s)"),
    "void_de_en": ({"void.de": b"", "void.en": b""}, "void_de_en: the train split is empty"),
    "blank_de_en": ({"blank.de": b"\n \n\t\r\n", "blank.en": b"\n\n\n"}, "blank_de_en: the train split is empty"),
    "single_de_en": ({"single.de": b"Hund\n", "single.en": b"dog\n"}, "single_de_en: the train split is empty"),
    "nogzip_de_en": ({"nogzip.de.gz": LINES, "nogzip.en": LINES}, "nogzip.de.gz cannot be read (BadGzipFile)"),
    "cut_de_en": ({"cut.de.gz": gzip.compress(LINES)[:-20], "cut.en": LINES}, "cut.de.gz cannot be read (EOFError)"),
    "endless_de_en": (
        {f"endless.{l}": b"".join(b"%d %s\n" % (i, b"Hund " * 200) for i in range(40)) for l in ("de", "en")},
        "a training split with sentences of at most 100 tokens"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts(home, command, tmp_path, name):
    files, sentence = HOSTILE[name]
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    one_line(command("train", "--task", "translate", "--data", tmp_path / name), sentence)
    assert not any(home.rglob("*"))


def sentences(n, start=0):
    "Pairs of the embedded corpus"
    from gru_study.captions import captions
    return captions()[start:start + n]


def test_texts_in_any_dress(home, command, tmp_path):
    """Windows line ends, a byte order mark, gzip, a TSV: the same pairs.

    None is lost but those with an empty side, no line is set against another's translation.
    """
    from gru_study.corpora import load_text
    from gru_study.tokens import examples, make_fields
    strange = [line for line in ODD if "\r" not in line]
    pairs = [*sentences(60), *((line, f"{i} {line}") for i, line in enumerate(strange)),
        ("", "alone"), ("allein", " "), *sentences(30, 60)]
    sides = ["\n".join(side) + "\n" for side in zip(*pairs)]
    dress = {"plain": str.encode, "windows": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        "zipped.gz": lambda text: gzip.compress(text.encode()), "open": lambda text: text[:-1].encode()}
    for name, put_on in dress.items():
        stem, _, end = name.partition(".")
        for l, text in zip(("de", "en"), sides): (tmp_path / f"{stem}.{l}{end and '.'}{end}").write_bytes(put_on(text))
    (tmp_path / "table.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in pairs if "\t" not in s), newline="")
    plain, *others = (load_text(f"{tmp_path}/{name}_de_en") for name in ("plain", "windows", "zipped", "open", "table"))
    one_space = lambda s: " ".join(s.split())
    whole = [(one_space(s), one_space(t)) for s, t in pairs if s.strip() and t.strip()]
    for data in (plain, *others):
        found = [p for s in ("train", "valid", "test") for p in zip(data[s].source, data[s].target)]
        assert Counter(found) == Counter(whole)
        pairs_of = lambda corpus: [(p.source, p.target) for p in (corpus.train, corpus.valid, corpus["test"])]
        assert pairs_of(data) == pairs_of(plain)
    assert plain.notes == ("4 pair(s) with an empty side left out",)
    found = examples(plain.train, make_fields(("de", "en")))
    expected = [tuple(side.replace(" ", "") for side in plain.train[i]) for i in range(len(plain.train))]
    assert [("".join(e.src), "".join(e.trg)) for e in found] == expected
    done = command("train", *TINY[:6], "--data", tmp_path / "windows_de_en", "--epoch", 1)
    assert done.returncode == 0, done.stderr
    result = json.loads((home / "exp/translate/windows_de_en/gru/result.json").read_text())
    assert result["summary"] == str(plain).replace("plain", "windows")
    assert len(result["translations"]["test"]) == len(plain["test"])


@pytest.fixture
def long_lines(tmp_path):
    "A corpus with a pair of 5,000 words in each split"
    long = "Hund " * 4999 + "Katze", "dog " * 4999 + "cat"
    for split, pairs in (("train", sentences(60)), ("valid", sentences(2, 60)), ("test", sentences(2, 62))):
        for i, l in enumerate(("de", "en")):
            (tmp_path / "long").mkdir(exist_ok=True)
            (tmp_path / f"long/{split}.{l}").write_text("\n".join(p[i] for p in (pairs[0], long, *pairs[1:])))
    return f"{tmp_path}/long_de_en"


def test_a_long_line_is_scored_but_not_trained_on(home, long_lines):
    from gru_study.experiment import Experiment
    from gru_study.engines import make_engine
    from gru_study.train import experiment_data
    e = Experiment(task="translate", data=long_lines, hidden=4, emb=4)
    data = experiment_data(e)
    engine = make_engine(e, data)
    assert len(data.train) == 61 and len(engine.prepared.train) == 60
    tokens = lambda pairs: sum(len(re.findall(r"\w+|[^\w\s]", t)) + 1 for t in pairs.target)
    assert tokens(data["test"]) > 5000
    for pairs in (data.valid, data["test"]): assert engine.evaluate(pairs).tokens == tokens(pairs)


def test_long_lines_fit_into_memory(home, command, long_lines):
    "The whole command within 6 GB of address space; without the long lines 3 are enough"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))"
    done = command("train", *TINY[:6], "--data", long_lines, "--epoch", 1, "--beam", 1, before=limit)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((home / "exp/translate/long_de_en/gru/result.json").read_text())["translations"]["test"]) == 3


# --- from plain text to plain text

@pytest.fixture(scope="module")
def tiny():
    "A translator with random weights, and its fields"
    import torch
    from gru_study.cells import CELLS
    from gru_study.corpora import load_captions
    from gru_study.models import Translator
    from gru_study.tokens import build_vocabularies, examples, make_fields
    fields = make_fields(("de", "en"))
    build_vocabularies(examples(load_captions().train[:200], fields), fields)
    torch.manual_seed(0)
    model = Translator(CELLS["gru"], tuple(len(f.vocab) for f in fields), 16, 16).eval()
    with torch.no_grad():
        for w in model.parameters(): w *= 3  # so that what it says depends on what it reads
    return model, fields


def test_a_line_of_5000_words(tiny):
    "Translated whole, in pieces: every word is in the source; memory stays small"
    from gru_study.beam import translate
    text = " ".join(f"{'Hund' if i % 3 else 'Katze'}{'.' if i % 17 == 0 else ''}" for i in range(5000))
    tracemalloc.start()
    before = time.process_time()
    ((best, other),) = translate(*tiny, [text], beam=2)
    seconds, peak = time.process_time() - before, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "".join(best.source) == text.replace(" ", "") and len(best.source) == 5000 + 295
    assert best.attention is None and len(best.tokens) > 5000
    assert best.score >= other.score and seconds < 60 and peak < 2e8


def test_strange_lines_keep_their_places(tiny):
    "Each line's translation is the one it has alone; empty lines stay empty; none is broken in two"
    import spacy
    from gru_study.beam import translate
    lines = ODD + [s for s, _ in sentences(30)] + ODD[::-1] + ["Katze. " * 60]
    together = [best for best, *_ in translate(*tiny, lines)]
    alone = [best for best, *_ in translate(*tiny, lines, batch=1)]
    words = spacy.blank("de").tokenizer
    for line, t, other in zip(lines, together, alone, strict=True):
        assert t.source == [w.text for w in words(" ".join(line.split()))]
        assert (t.text == "") == (line.strip() == "")
        assert t.text == other.text and abs(t.score - other.score) < 1e-5
    assert len("\n".join(t.text for t in together).splitlines()) == len(lines) and len({t.text for t in together}) > 40


def test_no_mark_in_a_translation(tiny):
    "The beginning of a sentence and padding are no words, whatever a network without training makes of them"
    from gru_study.beam import translate
    for beam in (1, 5):
        said = {token for found in translate(*tiny, ODD, beam) for t in found for token in t.tokens}
        assert said and not said & {"<bos>", "<eos>", "<pad>"}


# --- the original command

def original(data, *more, **env):
    "The study's original command line for translation"
    words = (f"-m train --task translate --rnn gru --data {data} --bs 128 --epoch 100 --optim sgd --lr 0.1 --wd 0.0001 "
        "--clip 1.0 --train_subset 25000 --valid_subset 5000 --loss ce --save_dir translation/en_de/gru -v").split()
    return subprocess.run(
        [sys.executable, *words, *more], cwd=ROOT, env=os.environ | env, capture_output=True, text=True)


@pytest.mark.real_data
def test_the_original_command_on_multi30k(home):
    "It asks for more sentences than there are for validation: all of them are used, and it says so"
    done = original("multi30k_de_en", *"--train_subset 100 --epoch 1 --hidden 8 --emb 8 --beam 1".split())
    assert done.returncode == 0, done.stderr
    assert "valid_subset 5,000: all 1,014 pairs" in done.stdout


def test_the_original_command_without_its_data(home, tmp_path):
    one_line(original("iwslt_en_de", GRU_STUDY_DATA=str(tmp_path)),
        "data: iwslt_en_de: put the unpacked archive 2017-01-trnmted of IWSLT 2017 (WIT3, wit3.fbk.eu) under "
        "$GRU_STUDY_DATA/iwslt2017")
    assert not any(home.rglob("*"))


def test_the_original_command_trains(home):
    "With less data, fewer epochs and a smaller network"
    done = original("captions_de_en",
        *"--train_subset 64 --valid_subset 16 --epoch 1 --hidden 16 --emb 16 --beam 1".split())
    assert done.returncode == 0, done.stderr
    (line,) = [l for l in done.stdout.splitlines() if l.startswith("epoch ")]
    assert all(w in line for w in ("epoch 1:", "train loss", "valid loss", "NLL"))
    config = json.loads((home / "exp/translation/en_de/gru/config.json").read_text())
    assert [config[k] for k in ("optim", "lr", "wd", "mtm", "schedule", "train_subset")] == [
        "sgd", 0.1, 1e-4, 0, "constant", 64]
    assert (home / "exp/translation/en_de/gru/result.json").is_file()


# --- the run folder and `gru-study translate`

def test_the_run_folder(study):
    "Its files; the vocabularies and the scores counted again from the texts"
    import sacrebleu
    import spacy
    assert {p.name for p in (study / "exp/calm").glob("[!.]*")} == {
        "config.json", "vocabulary.json", "model.safetensors", "checkpoint.pt", "result.json", "digests.json"}
    config = json.loads((study / "exp/calm/config.json").read_text())
    assert "weight_noise" not in config
    assert {"attention", "bidirectional", "emb", "dropout", "tied", "label_smoothing", "schedule", "select", "beam",
        "min_freq", "lower"} <= set(config)
    vocabulary = json.loads((study / "exp/calm/vocabulary.json").read_text())
    for side, language, marks in ((0, "de", ["<unk>", "<pad>"]), (1, "en", ["<unk>", "<pad>", "<bos>", "<eos>"])):
        words = spacy.blank(language).tokenizer
        count = Counter(w.text for pair in sentences(200) for w in words(pair[side]))
        assert vocabulary["tokens"][side] == marks + sorted(
            (w for w in count if count[w] > 1), key=lambda w: (-count[w], w))
    result, references = facts(study, "calm"), [[t for _, t in sentences(500, 5500)]]
    said = result["translations"]["test"]
    assert result["test"]["bleu"] == sacrebleu.corpus_bleu(said, references).score
    assert result["test"]["chrf"] == sacrebleu.corpus_chrf(said, references).score


@pytest.mark.parametrize("content,sentence", [
    (None, "vocabulary.json: does not exist"), ("", "vocabulary.json: damaged"), ("[1, 2]", "vocabulary.json: damaged"),
    ('{"languages": ["de", "en"], "low', "vocabulary.json: damaged"), ("{}", "vocabulary.json: damaged"),
    ('{"languages": ["de", "en"], "lower": false, "tokens": 3}', "vocabulary.json: damaged"),
    ('{"languages": ["de", "en"], "lower": false, "tokens": [["<unk>"], ["<unk>"]]}', "vocabulary.json: damaged"),
    ('{"languages": ["de", "en"], "lower": false, '
        '"tokens": [["<unk>", "<pad>"], ["<unk>", "<pad>", "<bos>", "<eos>"]]}', "damaged or of another network")])
def test_damaged_vocabulary(study, command, content, sentence):
    shutil.copytree(study / "exp/calm", study / "exp/hurt_words", dirs_exist_ok=True)
    # as an earlier version left it
    for name in ("vocabulary.json", "digests.json"): (study / "exp/hurt_words" / name).unlink()
    if content is not None: (study / "exp/hurt_words/vocabulary.json").write_text(content)
    one_line(command("translate", "hurt_words", "Ein Hund"), sentence)


def test_translate_a_file_again(study, tmp_path):
    "The stored weights and vocabularies say of the test what the run has recorded"
    (tmp_path / "test.de.gz").write_bytes(gzip.compress("".join(s + "\n" for s, _ in sentences(500, 5500)).encode()))
    done = gru_study("translate", "calm", "--file", tmp_path / "test.de.gz", "--beam", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [*facts(study, "calm")["translations"]["test"], ""]
    assert len(set(done.stdout.split("\n"))) > 50


def test_translate_an_argument_and_standard_input(study, command):
    "A line for a line, however strange; the same as an argument"
    lines = [*ODD, "\0 Hund"]
    said = command("translate", "calm", stdin="".join(line + "\n" for line in lines).encode())
    notes = said.stderr.splitlines()
    assert said.returncode == 0 and {line.split(": ")[1] for line in notes} == {"not in the vocabulary"}
    assert said.stdout.split("\n") == [*said.stdout.splitlines(), ""] and len(said.stdout.splitlines()) == len(lines)
    assert [line == "" for line in said.stdout.splitlines()] == [line.strip() == "" for line in lines]
    assert command("translate", "calm", "Hund").stdout == said.stdout.splitlines()[ODD.index("Hund")] + "\n" != "\n"


def test_standard_input_from_windows(study, command):
    "A byte order mark, as files have it, and other line ends change nothing"
    plain, windows = (command("translate", "calm", "--n_best", 2, stdin=text).stdout
        for text in (b"Hund\nKatze\n", b"\xef\xbb\xbfHund\r\nKatze"))
    assert len(plain.split("\n")) == 7 and plain == windows


def test_n_best(study, command):
    "As many as are asked for, the best first, and an empty line after each sentence"
    done = command("translate", "calm", "--beam", 4, "--n_best", 3, stdin=b"Ein Hund\nEin Mann liest.")
    said = done.stdout.split("\n")
    assert [line == "" for line in said] == [False, False, False, True] * 2 + [True]
    for three in (said[:3], said[4:7]):
        scores = [float(line.split("\t")[0]) for line in three]
        assert scores == sorted(scores, reverse=True) and len({line.split("\t")[1] for line in three}) == 3


def test_words_that_the_vocabulary_lacks(study, command):
    "Named once each on the standard error, with their line; in JSON on every line; never among the translations"
    import spacy
    lines = ["Ein Hund schläft.", "Ein Wal schläft.", "", "Der Wal, \x1b[2J Zebrafink."]
    known = set(json.loads((study / "exp/calm/vocabulary.json").read_text())["tokens"][0])
    lacking = [[w.text for w in spacy.blank("de")(" ".join(line.split())) if w.text not in known] for line in lines]
    assert "Wal" in lacking[1] and lacking[2] == []
    stdin = "".join(line + "\n" for line in lines).encode()
    plain, said = (command("translate", "calm", *flags, stdin=stdin) for flags in ([], ["--json", "--n_best", 2]))
    assert said.stderr == plain.stderr and said.stderr.count("'Wal'") == 1 and "\x1b" not in said.stderr
    named = re.findall(r"^line (\d): not in the vocabulary: ", said.stderr, re.M)
    assert named == [str(i) for i, words in enumerate(lacking, 1) if words]
    found = [json.loads(line) for line in said.stdout.splitlines()]
    assert [f["unknown"] for f in found] == [list(dict.fromkeys(words)) for words in lacking]
    assert [f["text"] for f in found] == plain.stdout.split("\n")[:-1]
    assert [f["source"] for f in found] == [" ".join(line.split()) for line in lines]
    assert [len(f["n_best"]) for f in found] == [2] * 4
    assert found[1]["n_best"][0] == {k: found[1][k] for k in ("text", "score")}


SLOW = ("import time, gru_study.beam as g; real = g.extend; "
    "g.extend = lambda *args: (time.sleep(0.4), real(*args))[1]")


def test_a_line_that_takes_long(study, command):
    "Its progress is on the standard error, and only where it takes long"
    slow, quick = (command("translate", "calm", "Ein Hund. " * 40, before=before) for before in (SLOW, ""))
    assert "translating: " in slow.stderr and "%" in slow.stderr
    assert quick.stderr == "" and slow.stdout == quick.stdout and slow.stdout.count("\n") == 1


@pytest.mark.parametrize("words,sentence", [
    (["nowhere", "Hund"], "run: found 'nowhere'"),
    (["music", "Hund"], "run: found 'music', allowed: a run of task translate"),
    (["calm", "--file", "latin"], "latin: line 2 is not UTF-8"), (["calm", "--file", "absent"], "absent"),
    (["calm"], "standard input: line 2 is not UTF-8"), (["calm", "Gr\udcfc\udcdfe"], "UTF-8"),
    (["calm", "Hund", "--file", "latin"], "or a file, not both"), (["calm", "Hund", "--beam", 0], "beam: found '0'"),
    (["calm", "Hund", "--n_best", 6], "n_best: found 6, allowed: at most beam, 5")])
def test_translate_refuses(study, command, tmp_path, words, sentence):
    (study / "exp/music").mkdir(exist_ok=True)
    (study / "exp/music/config.json").write_text('{"task": "music_lm"}')
    (tmp_path / "latin").write_bytes(latin := b"Hund\nGr\xfc\xdfe\n")
    words = [tmp_path / w if w in ("latin", "absent") else w for w in words]
    one_line(command("translate", *words, stdin=latin), sentence)


# --- real data

@pytest.mark.real_data
def test_multi30k():
    "As many pairs as published, in the order of the files, in either direction"
    from gru_study.corpora import load_text
    data, back = load_text("multi30k_de_en"), load_text("multi30k_en_de")
    for split, name, n in (
            ("train", "train", 29_000), ("valid", "val", 1_014),
            ("test_2016_flickr",) * 2 + (1_000,), ("test_2017_flickr",) * 2 + (1_000,)):
        for l, side, other in (
                ("de", data[split].source, back[split].target), ("en", data[split].target, back[split].source)):
            file = Path(DATA, f"multi30k/{name}.{l}.gz")
            lines = gzip.open(file, "rt", encoding="utf-8", newline="\n").read().splitlines()
            assert len(side) == n and side == other == [" ".join(line.split()) for line in lines]
    assert data.notes == () and list(data.tests) == ["test_2016_flickr", "test_2017_flickr"]


@pytest.mark.real_data
def test_a_batch_is_its_sentences():
    "The loss of 128 real sentences at once is the mean over their words, each sentence by itself"
    import torch
    from gru_study.cells import CELLS
    from gru_study.corpora import load_text
    from gru_study.metrics import translation_loss
    from gru_study.models import Translator
    from gru_study.tokens import build_vocabularies, examples, make_fields, text_batches
    from gru_study.translating import tensors
    fields = make_fields(("de", "en"))
    found = examples(load_text("multi30k_de_en").valid[:128], fields)
    build_vocabularies(found, fields, 1)
    torch.manual_seed(0)
    model = Translator(CELLS["gru"], tuple(len(f.vocab) for f in fields), 64, 32)
    for smoothing in (0., 0.1):
        with torch.no_grad():
            (whole,), ones = ([translation_loss(model, *b, smoothing) for b in tensors(text_batches(found, n), "cpu")]
                for n in (128, 1))
        words = sum(n for *_, n in ones)
        assert len(ones) == 128 and whole[2] == words == sum(len(e.trg) + 1 for e in found)
        assert abs(float(whole[0]) - sum(float(loss)*n for loss, _, n in ones)/words) < 1e-5
        assert abs(float(whole[1]) - sum(float(nll) for _, nll, _ in ones)) < 1e-5*words


# --- the network beside torch's own

def test_gradient_against_torch():
    """Two layers, general attention, label smoothing, padded sentences: the loss and every gradient.

    Expected by torch.nn.GRU packed, a loop over time and torch's cross-entropy.
    """
    import torch
    from torch import nn
    from torch.nn.functional import embedding, linear
    from gru_study.cells import CELLS
    from gru_study.metrics import translation_loss
    from gru_study.models import Translator
    torch.manual_seed(0)
    model = Translator(CELLS["gru"], (11, 13), 6, 5, layers=2, attention="general").double()
    nn.init.normal_(model.bias)
    source, lengths = torch.randint(2, 11, (4, 7)), torch.tensor([5, 7, 1, 3])
    target = torch.randint(4, 13, (4, 6))
    for i, n in enumerate(lengths): source[i, n:] = 1
    for i, n in enumerate((6, 3, 5, 4)): target[i, 0], target[i, n - 1], target[i, n:] = 2, 3, 1
    loss = translation_loss(model, source, lengths, target, 0.1)[0]
    loss.backward()

    encoder = nn.GRU(5, 6, 2, batch_first=True, bidirectional=True).double()
    cells = [nn.GRUCell(5, 6).double(), nn.GRUCell(6, 6).double()]
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    theirs = {f"encoder.layers.{k}.{way}.{p}_l0": getattr(encoder, f"{p}_l{k}{end}")
        for k in (0, 1) for way, end in enumerate(("", "_reverse")) for p in parts}
    theirs |= {f"decoder.layers.{k}.{p}_l0": getattr(cells[k], p) for k in (0, 1) for p in parts}
    ours = dict(model.named_parameters())
    theirs |= {k: nn.Parameter(torch.empty_like(ours[k])) for k in (
        "source.weight", "target.weight", "bias", "bridge.weight", "bridge.bias",
        "decoder.attention.key.weight", "decoder.readout.weight", "decoder.readout.bias")}
    assert set(theirs) == set(ours)
    with torch.no_grad():
        for k, w in ours.items(): theirs[k].copy_(w)

    packed, ends = encoder(nn.utils.rnn.pack_padded_sequence(
        embedding(source, theirs["source.weight"]), lengths, batch_first=True, enforce_sorted=False))
    values = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)[0]
    last = torch.cat([ends[-2], ends[-1]], 1)
    state = list(torch.tanh(linear(last, theirs["bridge.weight"], theirs["bridge.bias"])).chunk(2, 1))
    logits = []
    for words in target[:, :-1].unbind(1):
        h = embedding(words, theirs["target.weight"])
        for k in (0, 1): h = state[k] = cells[k](h, state[k])
        contexts = []
        for query, seen in zip(h, (v[:n] for v, n in zip(values, lengths))):
            e = torch.stack([query @ (theirs["decoder.attention.key.weight"] @ v) for v in seen])
            contexts.append((e.exp()/e.exp().sum()) @ seen)
        features = torch.tanh(linear(torch.cat([h, torch.stack(contexts)], 1),
            theirs["decoder.readout.weight"], theirs["decoder.readout.bias"]))
        logits.append(features @ theirs["target.weight"].T + theirs["bias"])
    expected = nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=1)(
        torch.stack(logits, 1).flatten(0, 1), target[:, 1:].flatten())
    expected.backward()
    assert abs(loss - expected) < 1e-10
    for k, w in theirs.items(): assert w.grad.abs().max() > 1e-6 and (w.grad - ours[k].grad).abs().max() < 1e-8, k
