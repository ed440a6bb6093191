"Do intervals of 95% hold the truth 95 times in a hundred? And is the recorded study what it says it is?"
import json

import numpy as np
import pytest
import yaml
from conftest import ROOT
from scipy.stats import permutation_test, ttest_ind
from statsmodels.stats.multitest import multipletests

from gru_study.beyond import beside_gru, changed, joined, recorded_studies
from gru_study.comparison import differences, fair_pairs
from gru_study.significance import paired_difference, seed_difference
from gru_study.study import read_study, reported, study_table

RECORDED = ("JSB", "Nottingham", "MuseData", "Piano-midi")
CELLS = yaml.safe_load((ROOT / "nbs/experiments/cells.yaml").read_text())
LAWS = {"normal": lambda rng, n: rng.standard_normal(n), "skewed": lambda rng, n: rng.exponential(1, n) - 1}


def coverage(law, n, cases, resamples):
    "How many of many intervals contain the mean of the law, which is 0; sequences of 60 frames"
    rng, frames = np.random.default_rng(0), np.full(n, 60.)
    found = [paired_difference(frames * LAWS[law](rng, n), np.zeros(n), frames, resamples, seed, draws=9)
        for seed in range(cases)]
    return np.mean([i.low <= 0 <= i.high for i in found])


def test_coverage_of_the_bootstrap(record_property):
    "1,000 normal cases with n = 77: between 93% and 97%; n = 25 and a skewed law are reported"
    share = coverage("normal", 77, 1000, 9999)
    others = {(law, n): coverage(law, n, 1000, 1999) for law, n in (("normal", 25), ("skewed", 77), ("skewed", 25))}
    print(f"coverage of 95% intervals, 1,000 cases: normal n=77 {share:.1%};",
        ", ".join(f"{law} n={n} {c:.1%}" for (law, n), c in others.items()))
    assert 0.93 <= share <= 0.97
    assert min(others.values()) > 0.85


def test_coverage_over_seeds():
    "Welch's interval with 5 seeds a side and unequal spreads"
    rng = np.random.default_rng(0)
    found = [seed_difference(rng.normal(0, 1, 5).tolist(), rng.normal(0, 3, 5).tolist()) for _ in range(1000)]
    assert 0.93 <= np.mean([i.low <= 0 <= i.high for i in found]) <= 0.97


@pytest.fixture(scope="module")
def study(): return read_study(ROOT / "results/table2")


@pytest.mark.parametrize("data", RECORDED)
def test_recorded_study_is_complete(study, data):
    "Every cell on every data set of the paper: ten rates, seeds enough, nothing missing"
    for cell in ("tanh", "lstm", "gru"):
        of_cell = study.runs.query("data == @data and cell == @cell and sizes == 'paper'")
        plain, *graves = [part for _, part in sorted(of_cell.groupby("settings"), key=lambda of: "optim=" in of[0])]
        for runs in (plain, *graves): check_search(runs, 5 if data in ("JSB", "Piano-midi") else 3)


def check_search(runs, least):
    "Ten rates, the best on validation trained from enough seeds, nothing missing"
    trials, seeds = runs[runs.role == "trial"], runs[(runs.role == "seed") & (runs.state == "finished")]
    assert trials.lr.nunique() == len(trials) == 10
    assert len(seeds) >= least
    assert seeds.seed.is_unique and 0 not in set(seeds.seed)
    assert set(seeds.lr) == {trials.lr[trials.valid_nll.idxmin()]}  # selected on validation
    assert np.isfinite(seeds[["train_nll", "valid_nll", "test_nll", "nll_on"]]).all(axis=None)
    assert (seeds.epochs <= 500).all() and ((seeds.epochs == 500) | (seeds.epochs - seeds.best_epoch == 50)).all()
    assert (trials[trials.state == "diverged"].message.str.contains("diverged in epoch")).all()


@pytest.mark.parametrize("entry, data", [(i, d) for i, of in enumerate(CELLS) for d in of["data"]])
def test_cells_since_2014_are_complete(entry, data):
    "Every cell of cells.yaml by each of its rules; where three are trained, these are best on validation on the others"
    runs, asked = read_study(ROOT / "results/cells").runs, CELLS[entry]
    for cell in asked["rnn"]:
        of_cell = runs.query("data == @data and cell == @cell")
        assert len(of_cell.groupby("sizes")) == len(asked.get("match", ["paper"]))
        for _, of_size in of_cell.groupby("sizes"): check_search(of_size, asked["seeds"])
    if data not in CELLS[0]["data"]:
        seeds = runs[(runs.role == "seed") & (runs.sizes == "paper") & runs.data.isin(CELLS[0]["data"])]
        both = seeds.groupby(["cell", "data"]).valid_nll.mean().groupby("cell").mean()
        assert set(both.nsmallest(3).index) == set(asked["rnn"])


@pytest.mark.parametrize("data", RECORDED)
def test_recorded_scores_agree_with_each_other(study, data):
    "Per-sequence scores add up to the pooled NLL of each run, and the curves hold the best validation NLL"
    for run in reported(study).query("data == @data").itertuples():
        rows = study.sequences[study.sequences.run == run.run]
        assert abs(rows.nll.sum() / rows.frames.sum() - run.test_nll) < 1e-5
        curve = study.curves[study.curves.run == run.run]
        assert abs(curve.valid_nll.min() - run.valid_nll) < 1e-5
        assert curve.epoch[curve.valid_nll.idxmin()] == run.best_epoch


@pytest.mark.parametrize("data", RECORDED)
@pytest.mark.parametrize("beyond", ["", "optim", "head", "cell"])
def test_verdicts_by_others(study, data, beyond):
    "Every verdict again, from the recorded numbers alone: scipy's permutation and Welch's test, Holm by statsmodels"
    if beyond: study = joined([*recorded_studies().values()])
    pairs = changed(beyond) if beyond in ("optim", "head") else beside_gru if beyond else fair_pairs
    found, runs = differences(study, data, pairs), reported(study).query("data == @data")
    nll = study.sequences.assign(place=study.sequences.groupby("run").cumcount()).pivot(
        index="place", columns="run", values="nll")
    p = []
    for pair in found.itertuples():
        a, b = (runs[runs.model == name] for name in (pair.a, pair.b))
        each = [nll[part.run].dropna().mean(axis=1).to_numpy() for part in (a, b)]
        pieces = permutation_test(each, lambda x, y, axis: (x - y).sum(axis=axis), permutation_type="samples",
            vectorized=True, n_resamples=19_999, batch=2000, rng=np.random.default_rng(1)).pvalue
        p.append(max(pieces, ttest_ind(a.test_nll, b.test_nll, equal_var=False).pvalue))
        error = 5 * (pair.pieces.p * (1 - pair.pieces.p) / 19_999) ** 0.5
        assert abs(pieces - pair.pieces.p) <= error + 1e-4
    corrected = multipletests(p, method="holm")[1] if p else []
    for pair, again in zip(found.itertuples(), corrected):
        near = abs(again - 0.05) < 0.02  # these draws are fewer than those of the verdict
        assert near or pair.verdict.startswith("within noise") == (again > 0.05), (pair, again)
        if "within" not in pair.verdict:
            means = runs.groupby("model").test_nll.mean()
            assert pair.verdict.startswith(f"{means[[pair.a, pair.b]].idxmin()} better")


@pytest.mark.parametrize("name,page", [("table2", "reproduce"), ("multi30k", "ways_in"), ("speech", "ways_in")])
def test_hours_that_pages_name(name, page):
    made = json.loads((ROOT / f"results/{name}/provenance.json").read_text())
    hours = sum(of["core_hours"] for of in made.values())
    assert f"{hours:.1f} core-hours" in (ROOT / f"nbs/docs/{page}.ipynb").read_text()


def test_what_the_study_must_show(study):
    "GRU on JSB at most 8.55, and every cell below the Markov baseline of its data set"
    table = study_table(study)
    assert table.query("data == 'JSB' and model == 'gru-46'")["test NLL"].item() <= 8.55
    for data in RECORDED:
        markov = table.query("data == @data and model == 'Markov baseline'")["test NLL"].item()
        assert (table.query("data == @data and seeds > 0")["test NLL"] < markov).all()


def test_jsb_has_the_variants(study):
    "The paper's equations to the letter, and equal total parameters"
    models = set(reported(study).query("data == 'JSB'").model)
    assert {"gru_paper-46", "lstm_paper-36", "tanh-86 total", "lstm-38 total"} <= models
    # five at the paper's sizes; two at equal totals and both GRUs, whose size is the same there; three by graves
    assert len(differences(study, "JSB")) == 10 + 5 + 3
