"What those who carry on rely on: hooks, workflows, what may import what, facts of the project said alike everywhere."
import ast
import importlib
import inspect
import json
import pydoc
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT, SOAK, needed, plain
from fastcore.docments import docments
from gru_study.arithmetic import COMPILED
from packaging.requirements import Requirement
from PIL import Image

SETTINGS = (ROOT / "settings.ini").read_text()
VERSION = re.search(r"^version = (.+)$", SETTINGS, re.M)[1]


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION and f"\n## {VERSION}" in (ROOT / "CHANGELOG.md").read_text()
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)
    addresses = [r["url"] for r in citation["references"] if "url" in r]
    sources = (ROOT / "nbs/docs/sources.ipynb").read_text()
    assert addresses and all(a in sources for a in addresses)
    assert all(r["title"] in sources for r in citation["references"])


def test_the_picture_of_results_is_of_these_results():
    recorded = b"".join((ROOT / f"results/{name}/runs.csv").read_bytes() for name in ("table2", "multi30k"))
    picture = Image.open(ROOT / "docs/_static/readme/results.png")
    assert picture.text["results"] == sha256(recorded).hexdigest(), "python docs/screenshots.py --readme"


# of .venv: extras
PARTS = {"study": ""} | dict(re.findall("^EXTRAS_(.+) := (.+)$", (ROOT / "Makefile").read_text(), re.M))
ASKED = {name: words.split() for name, words in re.findall(r"^(\w+_)?requirements = (.+)$", SETTINGS, re.M)}


def part(name):
    "Packages of a part of .venv"
    extras = PARTS[name].replace("all", "text,cluster,tensorboard,hub,onnx,lab").split(",")
    return needed(sum((ASKED[f"{e}_"] for e in extras if e), ASKED[""]))


def test_the_lock_pins_every_package_once():
    "But the extra bench: a rival to be timed, which nothing here uses"
    lock = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]
    assert len(lock) == len({plain(r.name) for r in lock}) and all(str(r.specifier).startswith("==") for r in lock)
    pins = {plain(r.name) for r in lock if not r.marker or r.marker.evaluate()}
    here = {plain(d.name) for d in distributions()} - {"gru-study", "pip"}
    if sys.platform == "linux": assert here == pins == part("all"), "lock, environment and what settings.ini asks for"


def test_a_part_has_what_it_needs():
    assert part("study") < part("text") < part("lab") < part("all")
    assert not part("lab") & {"mypy", "playwright", "sphinx", "pytest", "nbdev"}
    assert not part("study") & {"spacy", "sacrebleu", "jupyterlab", "anywidget", "matplotlib"}


def test_pip_finds_all_parts_in_the_lock(tmp_path):
    "Without an index, nothing is left to install but the package itself"
    copy = tmp_path / "copy"
    options = ["--dry-run", "--no-index", "--no-build-isolation", "--constraint", "requirements.lock"]
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(
        ".*", "exp", "log", "build", "dist", "_docs", "__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", *options, "--report", "-", f".[{PARTS['all']}]"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0 and "does not provide" not in done.stderr, done.stderr
    assert [p["metadata"]["name"] for p in json.loads(done.stdout)["install"]] == ["gru-study"]


@pytest.mark.parametrize("file", sorted(p.name for p in (ROOT / ".github/workflows").iterdir()))
def test_workflows_run_what_is_there(file):
    jobs = yaml.safe_load((ROOT / ".github/workflows" / file).read_text())["jobs"]
    steps = [s for job in jobs.values() for s in job["steps"]]
    commands = [s["run"] for s in steps if "run" in s]
    assert commands
    for c in commands:
        assert subprocess.run([*c.split(), "--dry-run"], cwd=ROOT, capture_output=True).returncode == 0, c
    versions = {s["with"]["python-version"] for s in steps if "python-version" in s.get("with", {})}
    assert versions <= {"3.11", "${{ matrix.python }}"}


def test_hooks_are_well_formed():
    subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml"], check=True)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for program in (h["entry"].split()[0] for h in hooks):
        assert program == "make" or Path(sys.executable).with_name(Path(program).name).exists()


@pytest.mark.parametrize("name,long", [("tests/a.py", 1), ("docs/a.py", 1), ("setup.py", 1), ("nbs/00_a.ipynb", 1),
    ("nbs/experiments/a.ipynb", 1), ("gru_study/a.py", 0)])
def test_lines_that_people_write_are_short(name, long):
    "ruff takes 120 characters, and refuses 121 everywhere but in what nbdev writes"
    for n, refused in ((120, 0), (121, long)):
        code = f"x = '{'a ' * 60}"[:n - 1] + "'"
        if name.endswith("ipynb"):
            code = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]))
        command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", name, "--output-format", "concise", "-"]
        done = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True)
        assert done.returncode == refused and done.stdout.count("E501") == refused, done.stdout + done.stderr


@SOAK
def test_a_commit_out_of_step_is_stopped(tmp_path):
    "A changed notebook is exported by the hook, and the commit stops so that the change is seen"
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(
        ".git", ".venv", "exp", "log", "build", "dist", "_docs", "__pycache__", ".*_cache"))
    (copy / ".venv").symlink_to(sys.prefix)
    git = lambda *words: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
        cwd=copy, capture_output=True, text=True)
    git("init", "-b", "main")
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], cwd=copy, check=True, capture_output=True)
    git("add", "--all")
    first = git("commit", "-m", "as it is")
    assert not first.returncode and first.stderr.count("Passed") == 3, first.stderr
    notebook = copy / "nbs/00_base.ipynb"
    notebook.write_text(notebook.read_text().replace(
        "NOTES = 88 # keys of a piano", "NOTES = 88 # keys of a grand piano"))
    git("add", "--all")
    second = git("commit", "-m", "changed")
    assert second.returncode and "files were modified by this hook" in second.stderr
    assert "grand piano" in (copy / "gru_study/base.py").read_text()
    git("add", "--all")
    assert not git("commit", "-m", "changed").returncode


LEFT = { # what is left of a merge: how a notebook holds it
    "a cell of nbdev's driver": lambda nb: nb.replace('"source": [', '"source": [\n    "`<<<<<<< HEAD`",', 1),
    "its last mark": lambda nb: nb.replace('"source": [', '"source": [\n    "`>>>>>>> other`",', 1),
    "the one between": lambda nb: nb.replace('"source": [', '"source": [\n    "`=======`",', 1),
    "a line in a cell": lambda nb: nb.replace('"source": [', '"source": [\n    "<<<<<<< HEAD\\n",', 1),
    "lines of the file": lambda nb: nb.replace(' "nbformat"', '<<<<<<< HEAD\n "nbformat"', 1),
    "with the ancestor": lambda nb: nb.replace(' "nbformat"', '||||||| 1b80cc0\n "nbformat"', 1)}


@pytest.mark.parametrize("what", LEFT)
def test_an_unresolved_merge_is_refused(tmp_path, what):
    "By export, which the hook runs and which writes nothing then, and by in_step"
    project = ("settings.ini", "README.md", "Makefile", "pyproject.toml")
    for name in ("tests/in_step.py", "nbs/00_base.ipynb", "gru_study/base.py", *project):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    notebook = tmp_path / "nbs/00_base.ipynb"
    notebook.write_text(LEFT[what](notebook.read_text()))
    before = (tmp_path / "gru_study/base.py").read_bytes()
    check = [sys.executable, "tests/in_step.py"]
    for command in (["make", "-o", "setup", "export"], check, [*check, "--conflicts"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode and "nbs/00_base.ipynb: holds" in done.stdout, done.stdout + done.stderr
        assert "not resolved" in done.stdout
    assert (tmp_path / "gru_study/base.py").read_bytes() == before


@pytest.mark.filterwarnings(
    "ignore::nbformat.warnings.MissingIDFieldWarning", "ignore::nbformat.warnings.DuplicateCellId")
def test_notebooks_merge_cell_by_cell(tmp_path):
    "Two people change the same cell: git says so, and the notebook still opens and holds both"
    git = lambda *words: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
        cwd=tmp_path, capture_output=True, text=True)
    for name in (".gitattributes", "settings.ini", "pyproject.toml"): shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    def write(*sources):
        nb = nbformat.v4.new_notebook(cells=[
            nbformat.v4.new_code_cell(s, id=f"cell{i}") for i, s in enumerate(sources)])
        (tmp_path / "a.ipynb").write_text(json.dumps(nb, indent=1))
        git("add", "a.ipynb")
        assert not git("commit", "-m", "x").returncode
    git("init", "-b", "main")
    (driver,) = re.findall("git config merge.nbdev-merge.driver '(.+?)'", (ROOT / "Makefile").read_text())
    git("config", "merge.nbdev-merge.driver", driver)
    write("x = 0", "y = 0")
    git("checkout", "-b", "other")
    write("x = 1", "y = 0")
    git("checkout", "main")
    write("x = 2", "y = 0")
    assert git("merge", "other").returncode
    merged = "\n".join(c.source for c in nbformat.read(tmp_path / "a.ipynb", 4).cells)
    assert "x = 1" in merged and "x = 2" in merged and merged.count("y = 0") == 1 and "<<<<<<<" in merged


ORDER = [p.stem.split("_", 1)[1] for p in sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))]
OWN = "music_task composing translation_task translating translations speech_task speaking sounds" # of one task
OF_A_TASK = {*OWN.split()} & {*ORDER}
OF_NO_TASK = "experiment folder engines train search page notebooks grids sweep".split()


def parsed(name): return ast.parse((ROOT / f"gru_study/{name}.py").read_text())


def imported(tree, modules):
    "The package's own modules that a module imports, at its top or within a function, in each way that Python knows"
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            where = f"{'gru_study.' * bool(node.level)}{node.module or ''}".rstrip(".")
            found |= {where, *(f"{where}.{a.name}" for a in node.names)}
        if isinstance(node, ast.Import): found |= {a.name for a in node.names}
    return {name for name in modules if any(f"{f}.".startswith(f"gru_study.{name}.") for f in found)}


def upwards(imports):
    "Pairs of modules of which the first imports one that does not come before it: every circle has such a pair"
    return [(a, b) for a, names in imports.items() for b in sorted(names) if ORDER.index(a) <= ORDER.index(b)]


WAYS = (
    "from .train import fit", "from gru_study.train import fit", "from . import train", "from gru_study import train",
    "import gru_study.train", "import os, gru_study.train as t", "def f():\n from .train import fit")
OTHER = "import train", "from other.train import fit", "from .training import fit", "from torch import train"


def test_every_module_has_its_notebook():
    assert {*ORDER} == {p.stem for p in (ROOT / "gru_study").glob("*.py")} - {"__init__", "_modidx"}


def test_a_notebook_has_its_number_and_one_subject():
    "No two share a number; no module is over 400 lines as written, but a grammar and the command line"
    numbers = [int(p.name[:2]) for p in sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))]
    assert numbers == [*range(len(numbers))] and len(numbers) > 60
    lines = {p.stem[3:]: sum(len(c.source.splitlines()) + 1 for c in nbformat.read(p, 4).cells
        if c.source.startswith("#| export")) for p in (ROOT / "nbs").glob("[0-9]*.ipynb")}
    assert {name for name, n in lines.items() if n > 400} <= {"captions", "cli"} and max(lines.values()) > 400


def test_help_tells_what_the_comments_do():
    "help() and Jupyter's question mark: each parameter that has a comment, and what comes back"
    modules = [importlib.import_module(f"gru_study.{name}") for name in ORDER if name not in (*COMPILED, "__main__")]
    exported = [getattr(m, name) for m in modules for name in m.__all__]
    functions = {f for f in exported if inspect.isfunction(f) and f.__doc__ and f.__module__.startswith("gru_study.")}
    said = {f: pydoc.plain(pydoc.render_doc(f)) for f in functions}
    comments = [(f, "" if name == "return" else f"{name}: ", " ".join(told.split()))
        for f in functions for name, told in docments(f, args_kwargs=True).items() if told]
    assert [(f.__name__, told) for f, name, told in comments if f"    {name}{told}\n" not in said[f]] == []
    assert len(comments) > 1000


def test_imports_point_down():
    "To notebooks that are read before, so that there is no circle; and the look at them finds what it should"
    imports = {name: imported(parsed(name), ORDER) for name in ORDER}
    assert upwards(imports) == []
    assert sum(map(len, imports.values())) > 100
    assert "engines" in imports["composing"] and "gallery" in imports["models"]
    for way in WAYS: assert imported(ast.parse(way), ORDER) == {"train"}, way
    for other in OTHER: assert imported(ast.parse(other), ORDER) == set(), other
    wrong, right = dict(engines={"train", "engines"}), dict(train={"engines"})
    assert upwards(wrong) == [("engines", "engines"), ("engines", "train")] and upwards(right) == []


@pytest.mark.parametrize("name", OF_NO_TASK)
def test_the_house_knows_no_task(name):
    "What serves all tasks imports nothing of one task, not even within a function: it asks the task's object"
    reached, new = set(), {name}
    while new: reached, new = reached | new, {m for n in new for m in imported(parsed(n), ORDER)} - reached - new
    assert not reached & OF_A_TASK and len(OF_A_TASK) >= 5 # nor through what it imports


def test_the_lab_trains_tasks_that_it_does_not_know():
    "It asks for their views: no module of one task, no app of one"
    apps = {*"browse expect look compare listen sentences play".split()}
    for name in ("apps", "views", "watch"): assert not imported(parsed(name), ORDER) & (OF_A_TASK | apps), name
    assert apps < {*ORDER}


DATA_OF = dict(sets="music_lm", speech="speech", corpora="translate") # each reads its task's rows of datasets.json


def named_tasks(name):
    "Strings that are a task's name, each by the statement that it stands in"
    tasks = {"music_lm", "translate", "speech"}
    named = lambda statement: {n.value for n in ast.walk(statement) if isinstance(n, ast.Constant) and n.value in tasks}
    body = [s for s in parsed(name).body if not ast.unparse(s).startswith("__all__")] # which names functions
    return [(ast.unparse(statement), found) for statement in body if (found := named(statement))]


def test_a_task_is_named_in_its_own_modules():
    "Elsewhere in the registry and as the default alone; modules of data look up their rows"
    for name in {*ORDER} - (OF_A_TASK - {"translations"}) - {"experiment", *DATA_OF}:
        assert named_tasks(name) == [], name
    for name, task in DATA_OF.items():
        for statement, found in named_tasks(name): assert f"datasets()['{task}']" in statement and found == {task}
    registry, default = named_tasks("experiment")
    assert registry[0].startswith("OURS = ") and default[0].startswith("class Common") and default[1] == {"music_lm"}
    assert default[0].count("music_lm") == 1
