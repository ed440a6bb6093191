"The notebooks as a whole: parameters in step with the spec, every exported name shown, cells short."
import ast
import json
import re
import statistics
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, gru_study

from gru_study.experiment import Experiment, Search

NOTEBOOKS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))


def cells(path, kind="code"):
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == kind]


def is_export(cell): return re.match(r"#\| exports?\b", cell.source) is not None


def names(source):
    "What a cell defines at the top"
    tree = ast.parse(source)
    found = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    found |= {t.id for n in tree.body if isinstance(n, (ast.Assign, ast.AnnAssign))
        for t in (n.targets if isinstance(n, ast.Assign) else [n.target]) if isinstance(t, ast.Name)}
    return {n for n in found if not n.startswith("_")}


@pytest.mark.parametrize("notebook,task,kind", [
    ("music_lm", "music_lm", Experiment), ("protocol", "music_lm", Search), ("translate", "translate", Experiment),
    ("speech_lm", "speech", Experiment)])
def test_parameters_cell_is_in_step_with_the_spec(notebook, task, kind):
    "Same names in the same order, same defaults; what is left out is on purpose"
    (cell,) = [c for c in cells(ROOT / f"nbs/experiments/{notebook}.ipynb")
        if "parameters" in c.metadata.get("tags", [])]
    parameters = {n.targets[0].id: ast.literal_eval(n.value) for n in ast.parse(cell.source).body}
    of_task = {"music_lm": {"task"}, "translate": {"engine"}, "speech": set()}[task]
    left_out = {"loss", "verbose"} | of_task | ({"lr"} if kind is Search else set())
    default = lambda name: None if name in ("save_dir", "schedule") else getattr(kind(task=task), name)
    spec = {k: default(k) for k in kind.of(dict(task=task)).model_fields if k not in left_out}
    assert parameters == spec and list(parameters) == list(spec)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_exported_name_is_shown(path):
    "Each exported name stands in a cell that is not exported, beside an assertion"
    code = cells(path)
    shown = [c.source for c in code if not is_export(c)]
    exported = {n for c in code if is_export(c) for n in names(re.sub(r"^#\|.*$", "", c.source, flags=re.M))}
    missing = [n for n in sorted(exported) if not any(re.search(rf"\b{n}\b", c) for c in shown)]
    assert not missing
    assert sum(bool(re.search(r"\bassert\b|\btest_", c)) for c in shown) > len(shown)/3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_opens_with_title_and_purpose(path):
    assert re.match(r"# .+\n> .+", cells(path, "markdown")[0].source)


def test_protocol_notebook(home, toy):
    "The whole protocol by the sweep command, on a toy: executed notebook, page, three figures and tables without error"
    done = gru_study("sweep", ROOT / "nbs/experiments/protocol.ipynb", "--grid", f"data={toy}", "rnn=tanh", "trials=3",
        "seeds=2", "epoch=3", "hidden=5", "--under", "p")
    assert done.returncode == 0, done.stderr
    folder = home / "exp/p/music_lm/toy/tanh"
    outputs = [o for c in cells(folder / "protocol.ipynb") for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert sum("application/vnd.plotly.v1+json" in o.get("data", {}) for o in outputs) == 2
    assert (folder / "protocol.html").is_file() and (folder / "search_result.json").is_file()


def test_translation_notebooks(home):
    "The sweep and the report of the study of translation, in small: the figures are there, and nothing failed"
    done = gru_study("sweep", ROOT / "nbs/experiments/translate.ipynb", "--grid",
        *"attention=general,none epoch=1 train_subset=100 valid_subset=20 hidden=8 emb=8 beam=1".split(),
        "--under", "t")
    assert done.returncode == 0, done.stderr
    for attention, figures in (("general", 3), ("none", 2)):
        folder = home / f"exp/t/translate/captions_de_en/gru/attention={attention}"
        outputs = [o for c in cells(folder / "translate.ipynb") for o in c.outputs]
        assert not [o for o in outputs if o.output_type == "error"] and (folder / "translate.html").is_file()
        assert sum("application/vnd.plotly.v1+json" in o.get("data", {}) for o in outputs) == figures
    done = gru_study("report", "--task", "translate", "--under", "t")
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.rsplit("report: ", 1)[1].strip()).read_text()
    assert "gru-8 no attention" in page and page.count('<figure class="plotly"') == 3


def test_sections_are_those_of_the_records():
    "README and pages say of results, speed and data what results/ and the rows of the data sets do"
    from in_step import PAGES, placed, sections
    pages = {p: [c.source for c in cells(p, "markdown")] for p in PAGES}
    for section in sections():
        assert any(placed(section, p) in told for p, told in pages.items()), "tests/in_step.py --write-readme"
    music = next(s for s in sections() if s.startswith("## Results in short"))
    readme = (ROOT / "README.md").read_text()
    assert music in readme and len(readme) <= 9000


def test_every_data_set_has_its_row():
    "Each name that data= knows, and each fault"
    from gru_study.corpora import CORPORA
    from gru_study.findings import fault_list, readme_data
    from gru_study.sets import DATASETS
    assert all(f"`{name}`" in readme_data() for name in (*DATASETS, *CORPORA)) and fault_list().count("\n") >= 6


def test_exported_cells_are_short():
    lengths = [len(c.source.splitlines()) - 1 for p in NOTEBOOKS for c in cells(p) if is_export(c)]
    body = [len([l for l in c.source.splitlines() if l.strip() and not l.strip().startswith(("#", "@", '"'))])
        for p in NOTEBOOKS for c in cells(p) if is_export(c)]
    print(f"{len(lengths)} exported cells, median {statistics.median(body)} lines, longest {max(lengths)}")
    assert statistics.median(body) < 10 and max(lengths) <= 45


def test_stored_clean():
    for path in (ROOT / "nbs").rglob("*.ipynb"):
        if ".ipynb_checkpoints" in path.parts: continue
        assert not [o for c in cells(path) for o in c.outputs if o.output_type == "error"], path


def test_imports_point_down():
    "A notebook imports only modules of lower-numbered notebooks"
    number = {}
    for path in NOTEBOOKS:
        (module,) = [m[1] for c in cells(path) if (m := re.match(r"#\| default_exp (\w+)", c.source))]
        number[module] = path.stem
    for path in NOTEBOOKS:
        source = "\n".join(c.source for c in cells(path) if is_export(c))
        for module in re.findall(r"from gru_study\.(\w+) import", source):
            assert number[module] < path.stem, f"{path.name} imports {module}"


def test_bare_papermill(tmp_path, home):
    "As the README has it, with fewer epochs and sequences"
    import subprocess, sys
    command = [str(Path(sys.executable).with_name("papermill")), "nbs/experiments/music_lm.ipynb",
        str(tmp_path / "out.ipynb"), *"-p rnn gru -p data chorales -p epoch 1 -p train_subset 9".split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    outputs = [o for c in cells(tmp_path / "out.ipynb") for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert sum("application/vnd.plotly.v1+json" in o.get("data", {}) for o in outputs) == 2
    assert (tmp_path / "out.ipynb").stat().st_size < 1_500_000  # plotly.js is not inside
    result = json.loads((home / "exp/music_lm/chorales/gru/result.json").read_text())
    from gru_study.notebooks import scraps
    assert scraps(tmp_path / "out.ipynb") == {split: result[split] for split in ("train", "valid", "test")}


def test_sweep_keeps_what_is_done_and_goes_on_past_a_failure(home, toy):
    grid = ["--grid", f"data={toy}", "rnn=gru,tanh", "optim=sgd", "lr=0.1,3e38", "epoch=2", "hidden=5"]
    sweep = lambda *more: gru_study("sweep", ROOT / "nbs/experiments/music_lm.ipynb", *grid, *more)
    first = sweep("--workers", "2")
    assert first.returncode == 1
    states = [line.split()[0] for line in first.stdout.split("\n\n")[-1].splitlines()]
    assert sorted(states) == ["done", "done", "failed", "failed"] and "Diverged: training diverged" in first.stdout
    good = home / "exp/music_lm/toy/gru/lr=0.1"
    assert (good / "music_lm.ipynb").is_file() and (good / "music_lm.html").is_file()
    assert (home / "exp/music_lm/toy/gru/lr=3e+38/music_lm.failed.ipynb").is_file()
    stamp = (good / "music_lm.ipynb").stat().st_mtime_ns
    again = sweep()
    assert again.stdout.count("kept    ") == 2 and (good / "music_lm.ipynb").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("grid,sentence", [
    (["rnn=gruu"], "rnn: found 'gruu'"), (["rnnn=gru"], "grid: found 'rnnn', allowed: a parameter of music_lm.ipynb"),
    (["rnn"], "grid: found 'rnn', allowed: name=value"),
    (["lr=0.1,0.1"], "two jobs would share a folder"), (["verbose=True"], "grid: found 'verbose'"), ([], "grid:")])
def test_sweep_refuses_before_anything_runs(home, grid, sentence):
    done = gru_study("sweep", ROOT / "nbs/experiments/music_lm.ipynb", "--grid", *grid)
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not any(home.rglob("*"))


STUBS = { # of what the trackers on the page call: each call is a line
    "mlflow": """
class MlflowClient:
    def create_run(self, experiment, run_name):
        self.info = type("Info", (), {"run_id": run_name})
        return self
    def log_metric(self, run_id, key, value, step): print(run_id, key, value, step, file=open("told", "a"))
    def set_terminated(self, run_id): print(run_id, "ended", file=open("ended", "a"))
""", "wandb": """
class init:
    def __init__(self, project, name, reinit): self.name = name
    def log(self, row, step): print(self.name, "valid_nll", row["valid_nll"], step, file=open("told", "a"))
"""}


@pytest.mark.parametrize("tool", STUBS)
def test_trackers_of_the_page(home, toy, tool, monkeypatch):
    "In a papermill job and in a search of the command line, whose runs are told apart; nothing of it is kept"
    page = "\n".join(c.source for c in cells(ROOT / "nbs/docs/cluster.ipynb", "markdown"))
    blocks = [b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "def log(row)" in b]
    (code,) = [b for b in blocks if tool in b]
    assert len([line for line in code.splitlines() if line]) <= 6
    (home / "tracker.py").write_text(code)
    (home / f"{tool}.py").write_text(STUBS[tool])
    monkeypatch.setenv("PYTHONPATH", f"{home}:{ROOT}")
    done = gru_study("sweep", "music_lm", "--grid", f"data={toy}", "hidden=4", "epoch=2", "watch=tracker.py:log",
        "--under", "s", cwd=home)
    assert done.returncode == 0, done.stderr
    done = gru_study("search", "--data", toy, "--hidden", 4, "--epoch", 2, "--trials", 2, "--seeds", 1, "--workers", 2,
        "--save_dir", "p", "--watch", "tracker:log", cwd=home)
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in (home / "told").read_text().splitlines()]
    runs = [f.parent.relative_to(home / "exp").as_posix() for f in (home / "exp").rglob("config.json")]
    assert {(run, int(step)) for run, _, _, step in told} == {(run, n) for run in runs for n in (1, 2)}
    for run in runs:
        rows = (home / f"log/{run}/metrics.csv").read_text().splitlines()
        column = rows[0].split(",").index("valid_nll")
        assert {v for r, k, v, _ in told if (r, k) == (run, "valid_nll")} == {r.split(",")[column] for r in rows[1:]}
    if tool == "mlflow":
        assert sorted((home / "ended").read_text().splitlines()) == sorted(f"{run} ended" for run in runs)
    assert len(runs) == 4 and not any("watch" in f.read_text() for f in (home / "exp").rglob("*.json"))
