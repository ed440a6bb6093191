"Languages other than those of the study: split and joined again, scored, and the test sets of IWSLT as they are found"
import json
from pathlib import Path

import pytest
from conftest import gru_study
from hypothesis import given, settings, strategies as st

SENTENCES = json.loads((Path(__file__).parents[1] / "gru_study/assets/sentences.json").read_text("utf-8"))
PERFECT = {"zh": "我喜欢吃苹果。", "es": "¿Vienes mañana?", "fr": "Où est-elle ?", "en": 'He cannot say "no."'}


def plain(words): return [*map(str, words)]


def squeezed(text): return "".join(text.split())


@pytest.mark.parametrize("language", SENTENCES)
def test_a_perfect_translation_scores_100(language):
    "Read, split and joined: to the letter, and 100.00 for the whole and for each line, however short"
    from gru_study.bleu import bleu_scores
    from gru_study.tokens import detokenize, tokenizer
    lines = SENTENCES[language]
    words = [tokenizer(language)(line) for line in lines]
    assert [detokenize(w, language) for w in words] == lines
    found = bleu_scores(words, lines, language)
    assert {round(found[name], 2) for name in ("bleu", "bleu_lower", "chrf", "chrf_lower", "bleu_tokens")} == {100}
    assert found["notes"] == []
    for w, line in zip(words, lines): assert round(bleu_scores([w], [line], language)["bleu"], 2) == 100, line


@pytest.mark.parametrize("language", SENTENCES)
def test_words_of_a_model(language):
    "By the rule alone, as words that were never read"
    from gru_study.tokens import detokenize, tokenizer
    lines = SENTENCES[language]
    wrong = [line for line in lines if detokenize(plain(tokenizer(language)(line)), language) != line]
    assert len(wrong) <= {"de": 2}.get(language, 1), wrong


@pytest.mark.parametrize("language,text", PERFECT.items())
def test_cases(language, text):
    from gru_study.bleu import bleu_scores
    from gru_study.tokens import detokenize, tokenizer
    words = tokenizer(language)(text)
    for said in (words, plain(words)):
        assert detokenize(said, language) == text
        assert round(bleu_scores([said], [text], language)["bleu"], 2) == 100


MARKS = [*" \u00a0\u202f\u2028\t\u3000'’\"“”„«»‚‘-–—.,;:!?¿¡()[]%€$/#…٪؟।", "n't", "e\u0301", "😀", "👩‍👧", "\u202e",
    "שלום", "中文", "<unk>"]
LETTERS = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(MARKS))


@pytest.mark.parametrize("language", [*SENTENCES, "vi", "eu", "ur", "am", "xx"])
@settings(max_examples=60, deadline=None)
@given(letters=st.lists(LETTERS, max_size=30))
def test_any_text_comes_back(language, letters):
    "Whatever was read comes back but for the kind and number of its spaces; by the rule no letter is lost or moved"
    from gru_study.tokens import detokenize, tokenizer
    text = "".join(letters)
    words = tokenizer(language)(text)
    assert detokenize(words, language) == " ".join(text.split())
    by_rule = detokenize(plain(words), language)
    assert squeezed(by_rule) == squeezed(text) and by_rule == " ".join(by_rule.split())


@pytest.mark.parametrize("text", [
    "", "   ", "?!", "…", "'", '"', "''", "-", "a\tb", "a  b", "a\u00a0b\u202f!", "مرحبا (Hello) 5", "e\u0301té é",
    "😀😀 👩‍👧"])
@pytest.mark.parametrize("language", ["en", "fr", "zh", "ar", "th"])
def test_odd_lines(text, language):
    from gru_study.bleu import bleu_scores
    from gru_study.tokens import detokenize, tokenizer
    words = tokenizer(language)(text)
    assert detokenize(words, language) == " ".join(text.split())
    score = bleu_scores([words, tokenizer(language)("ok, ok (ok)!")], [text, "ok, ok (ok)!"], language)["bleu"]
    assert round(score, 2) == 100


def test_tokenizers_of_bleu():
    "Chinese, Thai, Japanese and Korean are counted by their own; the recorded study's signatures are as they were"
    from gru_study.bleu import bleu_scores
    signatures = lambda language: bleu_scores([["a"]*5], ["a a a a a"], language)["signatures"]
    signature = lambda language, name="bleu": signatures(language)[name].rpartition("|")[0]
    counted = lambda language: signature(language).split("|")[3]
    assert [*map(counted, ("zh", "th", "de", "hi"))] == ["tok:zh", "tok:char", "tok:13a", "tok:13a"]
    assert counted("ja") in ("tok:ja-mecab", "tok:char") and counted("ko") in ("tok:ko-mecab", "tok:char")
    recorded = json.loads((Path(__file__).parents[1] / "results/multi30k/provenance.json").read_text())
    for data, facts in recorded.items():
        said = {name: s.rpartition("|")[0] for name, s in facts["signatures"].items()}
        assert said == {name: signature(data[-2:], name) for name in said}


@pytest.mark.real_data
@pytest.mark.parametrize("language,before", [("de", 0.99871), ("en", 0.99843)])
def test_multi30k_comes_back(language, before):
    "As many lines by the rule as before there were rules for other languages, all lines of the test sets as before"
    from gru_study.bleu import bleu_scores
    from gru_study.corpora import load_text
    from gru_study.tokens import detokenize, tokenizer
    data, side = load_text("multi30k_de_en"), "source" if language == "de" else "target"
    lines = [line for split in ("train", "valid", *data.tests) for line in getattr(data[split], side)]
    words = [tokenizer(language)(line) for line in lines]
    assert sum(detokenize(plain(w), language) == line for w, line in zip(words, lines)) > before*len(lines)
    assert [detokenize(w, language) for w in words] == lines
    assert round(bleu_scores(words[-1000:], lines[-1000:], language)["bleu"], 2) == 100


TINY = "--task translate --hidden 8 --emb 8 --beam 1 --epoch 1 --bs 20".split()


@pytest.mark.parametrize("language,lines,note", [
    ("eu", ["Etxea handia da.", "Non dago?", "Txakurra lo dago!"], "eu: no rule for joining words to text is known"),
    ("zh", ["我喜欢苹果。", "你在哪里?", "狗在睡觉!"], ""),
    ("ja", ["りんごが好きです。", "どこにいますか。", "犬は寝ている!"], "")])
def test_a_run_in_another_language(home, tmp_path, language, lines, note):
    "What is not known of its language is said beside its BLEU: trained, scored anew, in JSON and in the report"
    (tmp_path / "own.en").write_text("".join(f"Line {i}, it is number {i}.\n" for i in range(60)))
    (tmp_path / f"own.{language}").write_text("".join(f"{lines[i % 3]} {i}\n" for i in range(60)))
    done = gru_study("train", *TINY, "--data", tmp_path / f"own_en_{language}", "--save_dir", "own")
    assert done.returncode == 0, done.stderr
    result = json.loads((home / "exp/own/result.json").read_text())
    again = gru_study("evaluate", "own")
    said = [done.stdout, again.stdout, *result["notes"], *result["test"]["notes"]]
    assert [bool(note) and note in text for text in said] == ([True]*4 if note else [False]*2)
    signature = result["test"]["signatures"]["bleu"]
    counted = {"zh": ["tok:zh"], "ja": ["tok:ja-mecab", "tok:char"]}.get(language, ["tok:13a"])
    assert signature.split("|")[3] in counted and signature in again.stdout
    from gru_study.translations import collect_translations, translation_findings
    study = collect_translations()
    points = translation_findings(study, f"own_en_{language}")
    assert any("no rule for joining" in point for point in points) == bool(note)


def test_iwslt_test_sets(tmp_path):
    "Those of every year and either form are read; what lacks its other side, and what is of another campaign, is named"
    folder = tmp_path / "iwslt2017/en-de"
    folder.mkdir(parents=True)
    for l in ("en", "de"):
        (folder / f"train.tags.en-de.{l}").write_text(f"<url>x</url>\nOne {l}.\nTwo {l}.\n")
        for name in ("dev2010", "tst2010", "tst2016", "tst2017", "tst2017.mltlng"):
            segment = f"<mteval><seg id='1'> {name} {l} </seg></mteval>"
            (folder / f"IWSLT17.TED.{name}.en-de.{l}.xml").write_text(segment)
    for name in ("IWSLT17.TED.tst2014.en-de.en", "IWSLT16.TED.tst2015.en-de.de", "IWSLT17.TED.tst2013.en-fr.en"):
        (folder / f"{name}.xml").write_text("<mteval><seg id='1'> x </seg></mteval>")
    done = gru_study("data", "iwslt_en_de", GRU_STUDY_DATA=tmp_path)
    assert done.returncode == 0, done.stderr
    first, note = done.stdout.splitlines()[:2]
    assert first == "iwslt_en_de: train 2, valid 1, tst2010 1, tst2016 1, tst2017 1, tst2017.mltlng 1 pairs"
    assert note.endswith(": IWSLT16.TED.tst2015.en-de.de.xml, IWSLT17.TED.tst2014.en-de.en.xml")
