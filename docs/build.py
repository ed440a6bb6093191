"""The documentation site: python docs/build.py [--work FOLDER] [--execute PAGE ...] [--store]

Each page is a notebook. Those with something to show are executed (in small where a full run takes long), nbdev's
processor takes out what is not for readers, exported names get entries that can be referred to, Sphinx makes pages.
What was executed is kept in _docs/executed and used again until the code, the package or the results change.
The site is _docs/html. With --store the outputs of some notebooks are put into nbs/, where a code host shows them.
"""
import argparse
import ast
import copy
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from functools import partial
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

import nbformat
from execnb.nbio import mk_cell, read_nb, write_nb
from fastcore.docments import docments
from nbdev.config import get_config
from nbdev.process import NBProcessor, Processor
from nbdev.processors import clean_magics, hide_, hide_line, populate_language, rm_header_dash, strip_ansi
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gru_study.notebooks import SCRAP
from gru_study.pictures import to_draw
from gru_study.script import write_scripts

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/"nbs"
SETTINGS = dict(get_config(path=ROOT).d)
CODE_URL = "{git_url}/blob/{branch}".format(**SETTINGS)
MODULES = [p.stem for p in sorted(NBS.glob("[0-9]*.ipynb"))]
FIRST = { # parts of the reference -> the module that each begins with
    "Cells and kernels": "base", "Data": "pickles", "Networks and scores": "models", "Tasks and training": "experiment",
    "Figures and sweeps": "search", "Studies": "runs", "Inside the lab": "apps", "Bench and command": "rivals"}
BOUNDS = [*map([m.partition("_")[2] for m in MODULES].index, FIRST.values()), None]
SHOWN = ["summary", "summary_translate", "summary_speech", "summary_beyond"]
PARTS = {
    "Start": ["docs/play", "docs/five_minutes", "docs/install", "docs/ways_in"],
    "The study": ["docs/results",
        *(f"experiments/{n}" for n in (*SHOWN, "music_lm", "protocol", "translate", "speech_lm")), "docs/speed"],
    "Lab": ["start"],
    "How to": [f"docs/{n}" for n in ("bring_data", "bring_cell", "bring_task", "translate_text", "hand_over",
        "cluster", "reproduce")],
    **{part: MODULES[a:b] for part, a, b in zip(FIRST, BOUNDS, BOUNDS[1:])},
    "Notes": [f"docs/{n}" for n in (
        "architecture", "scores", "data_faults", "departures", "reliability", "flags", "glossary", "sources")],
}
HOME = "docs/home" # becomes index
PAGES = [HOME, *sum(PARTS.values(), [])]
SMALL = { # experiments that are executed with other parameters than their own
    "experiments/music_lm": dict(epoch=30, lr=0.002),
    "experiments/protocol": dict(trials=5, seeds=2, epoch=25, patience=10, ln_lr_min=-9.0),
    "experiments/translate": dict(epoch=3, train_subset=3000),
    "experiments/speech_lm": dict(hidden=48, bs=8, epoch=8, lr=0.003, train_subset=800, valid_subset=100),
}
STORED = [*(f"experiments/{name}" for name in SHOWN), "12_rolls", "30_inside", "53_plots"] # with --store
RESULTS = [*(f"experiments/{name}" for name in SHOWN), "docs/flags"] # without their code
# widgets, or minutes of checks and no figure: shown without output
AS_WRITTEN = [
    "start", "10_kernels", "37_engines", "38_frames", "39_train", "43_search", "49_notebooks",
    "51_sweep", "66_apps", "67_views", "68_browse", "70_look", "71_compare", "72_listen",
    "73_sentences", "74_watch", "79_portable", "80_cli", "82_play", "83___main__"]


def place(page: str) -> str:
    "Where a page stands in the site: a module's under the name of the module, which outlives the notebook's number"
    return "index" if page == HOME else page.split("_", 1)[1] if page in MODULES else page


# ---- execution

def fingerprint(nb) -> str:
    "Of all that an execution depends on"
    files = [p for folder in ("gru_study", "results")
        for p in sorted((ROOT/folder).rglob("*")) if p.suffix in (".py", ".csv", ".json", ".safetensors")]
    parts = [c.source.encode() for c in nb.cells if c.cell_type == "code"] + [p.read_bytes() for p in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def without_progress(outputs: list) -> list:
    "Outputs less what a page cannot show: widgets, and bars and warnings on standard error"
    outputs = [o for o in outputs if SCRAP not in o.get("data", {})]
    for o in outputs: o.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    bar = lambda o: list(o.get("data", {})) == ["text/plain"] and re.search(r"it/s|^\s*\d+%\|", o["data"]["text/plain"])
    return [o for o in outputs if o.get("name") != "stderr" and not bar(o)]


def execute(page: str, work: Path) -> None:
    "Execute the notebook of a page without real data; outputs are kept until something that they depend on changes"
    from nbclient import NotebookClient
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook
    nb, file, start = nbformat.read(NBS/f"{page}.ipynb", 4), work/f"executed/{page}.ipynb", time.monotonic()
    if page in SMALL: nb = parameterize_notebook(load_notebook_node(str(NBS/f"{page}.ipynb")), SMALL[page])
    mark, kept, code = (fingerprint(nb), nbformat.read(file, 4) if file.is_file() else nbformat.v4.new_notebook(),
        [c for c in nb.cells if c.cell_type == "code"])
    if kept.metadata.get("fingerprint") == mark:
        for cell, old in zip(code, (c for c in kept.cells if c.cell_type == "code")): cell.outputs = old.outputs
    else:
        os.environ.pop("GRU_STUDY_DATA", None)
        os.environ |= dict(OMP_NUM_THREADS="1", PYDEVD_DISABLE_FILE_VALIDATION="1")
        with tempfile.TemporaryDirectory() as home:
            if page in SMALL: os.environ["GRU_STUDY_HOME"] = home
            else: os.environ.pop("GRU_STUDY_HOME", None)
            client = NotebookClient(nb, timeout=900, resources=dict(metadata=dict(path=(NBS/page).parent)),
                startup_timeout=300, config=Config(KernelManager=dict(transport="ipc", ip=f"{home}/kernel")))
            try: client.execute()
            except Exception as e: raise RuntimeError(f"{page}: {e}") from None
        for cell in code: cell.outputs = without_progress(cell.outputs)
        print(f"executed {page} in {time.monotonic() - start:.0f} s", flush=True)
    nb.metadata["fingerprint"] = mark
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, file)


# ---- outputs in the repository

def code_cells(nb) -> list: return [c for c in nb.cells if c.cell_type == "code"]


def origin(page: str, nb) -> str:
    "What stored outputs are of: the code, and the figures of a report"
    files = sorted(f for f in (ROOT/"results").rglob("*.*") if page in RESULTS)
    parts = [c.source.encode() for c in code_cells(nb)] + [f.read_bytes() for f in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def small(outputs: list) -> list:
    "Outputs with the still picture of a figure instead of its data"
    for o in outputs:
        if "execution_count" in o: o.execution_count = None
        o.get("data", {}).pop("application/vnd.plotly.v1+json", None)
    return outputs


def store(page: str, work: Path) -> None:
    "Put what a notebook showed into nbs/"
    nb, executed = (nbformat.read(f/f"{page}.ipynb", 4) for f in (NBS, work/"executed"))
    for cell, shown in zip(code_cells(nb), code_cells(executed), strict=True):
        cell.outputs = [] if cell.source.startswith("#| hide") else small(shown.outputs)
    nb.metadata["outputs_of"] = origin(page, nb)
    nbformat.write(nb, NBS/f"{page}.ipynb")


# ---- processing

def declared(source: str) -> list:
    "What a cell defines for others: functions, classes, constants"
    nodes = [n for n in ast.parse(source).body
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign))]
    return [(name, n) for n in nodes if (name := defined(n)) and not name.startswith("_")]


def defined(node) -> str | None:
    "The name that a statement defines"
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return getattr(node, "name", None) or getattr(target, "id", None)


def is_export(cell) -> bool: return cell.cell_type == "code" and re.match(r"#\| *exports?\b", cell.source) is not None


def symbols() -> dict[str, list[str]]:
    "Every exported name and the modules that define it"
    found = {}
    for page in MODULES:
        for cell in filter(is_export, nbformat.read(NBS/f"{page}.ipynb", 4).cells):
            for name, _ in declared(cell.source): found.setdefault(name, []).append(module(page))
    return found


def module(page: str) -> str | None:
    "What a notebook exports, if it is one of the numbered"
    return "gru_study." + page.split("_", 1)[1] if page in MODULES else None


def code(text: str) -> str:
    "Code in a cell of a Markdown table"
    return f"`{text}`".replace("|", r"\|") if text else ""


def table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    "Parameters, a row each; without the columns in which nothing stands"
    titles = ("parameter", "type", "default", "meaning")
    used = [k for k in range(4) if any(row[k] for row in rows)]
    line = lambda cells: f"| {' | '.join(cells[k] for k in used)} |"
    return [line(titles), line(["---"]*4), *map(line, rows), ""] if rows else []


def comments(thing) -> dict[str, str]:
    "What the comments beside parameters say; nothing for what has no source"
    try: found = docments(thing, full=True, returns=True, args_kwargs=True)
    except (TypeError, ValueError, OSError, AttributeError): return {}
    return {k: " ".join((v["docment"] or "").split()).replace("|", r"\|") for k, v in found.items()}


def parameters(node: ast.FunctionDef, said: dict[str, str]) -> list[tuple[str, str, str, str]]:
    "Name, type, default and meaning of each"
    a = node.args
    plain = a.posonlyargs + a.args
    pairs = [*zip(plain, [None]*(len(plain) - len(a.defaults)) + a.defaults), *zip(a.kwonlyargs, a.kw_defaults)]
    pairs += [(x, None) for x in (a.vararg, a.kwarg) if x]
    text = lambda n: code(ast.unparse(n)) if n else ""
    return [(code(x.arg), text(x.annotation), text(default), said.get(x.arg, ""))
        for x, default in pairs if x.arg not in ("self", "cls")]


def fields(node: ast.ClassDef, said: dict[str, str]) -> list[tuple[str, str, str, str]]:
    "Those that a class of data declares"
    rows = []
    for n in (n for n in node.body if isinstance(n, ast.AnnAssign) and not n.target.id.startswith("_")):
        told, default = said.get(n.target.id, ""), ast.unparse(n.value) if n.value else ""
        if isinstance(n.value, ast.Call) and getattr(n.value.func, "id", "") == "Field":
            given = {k.arg: k.value for k in n.value.keywords}
            try: told = " ".join(ast.literal_eval(given["description"]).split()).replace("|", r"\|")
            except (KeyError, ValueError): pass
            default = ast.unparse(n.value.args[0]) if n.value.args else ""
        rows.append((code(n.target.id), code(ast.unparse(n.annotation)), code(default), told))
    return rows


def short(node: ast.FunctionDef) -> str:
    "A signature of names and defaults; types stand in the table"
    bare = copy.deepcopy(node.args)
    for x in (*bare.posonlyargs, *bare.args, *bare.kwonlyargs, bare.vararg, bare.kwarg):
        if x: x.annotation = None
    text = ast.unparse(bare)
    return f"({re.sub('^(self|cls)(, )?', '', text)})"


class Entries(Processor):
    "An entry for each exported name before the cell that exports it; code that is only plumbing is folded away"
    def begin(self):
        runs = not self.nb.module or self.nb.module.endswith("__main__") # when it is imported
        self.home = None if runs else importlib.import_module(self.nb.module)
        for i, cell in reversed(list(enumerate(self.nb.cells))):
            if not {"export", "exports"} & cell.directives_.keys() or cell.cell_type != "code": continue
            body, folded = ast.parse(cell.source).body, "export" in cell.directives_
            if all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in body): cell.directives_["hide"] = []
            if folded: cell.metadata["tags"] = ["hide-input"]
            for name, node in reversed(declared(cell.source)):
                cell = mk_cell("\n".join(self.entry(name, node, getattr(self.home, name, None))), "markdown")
                cell.directives_ = {}
                self.nb.cells.insert(i, cell)

    def entry(self, name, node, thing, depth=8, within="") -> list[str]:
        "A directive of Sphinx's Python domain: signature, purpose, what is raised, parameters, result; then methods"
        kinds = dict.fromkeys(("FunctionDef", "AsyncFunctionDef"), "method" if within else "function")
        kinds["ClassDef"] = "class"
        kind, said = kinds.get(type(node).__name__, "data"), comments(thing)
        lines = [*[f":module: {self.nb.module}"]*(not within), ""]
        if kind == "data": return self.fenced(f"py:data}} {name}", lines, depth)
        purpose, _, raised = (ast.get_docstring(node) or "").partition("; raises ")
        lines += [self.nb.refer(purpose), ""]
        if kind == "class":
            own = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            begin = next((n for n in own if n.name == "__init__"), None)
            rows = parameters(begin, comments(getattr(thing, "__init__", None))) if begin else fields(node, said)
            lines += table(rows)
            for n in own:
                if n.name.startswith("_"): continue
                method = getattr(thing, n.name, None)
                lines += self.entry(n.name, n, getattr(method, "fget", method), depth - 1, name)
            return self.fenced(f"py:class}} {name}", lines, depth)
        lines += table(parameters(node, said))
        result = ast.unparse(node.returns) if node.returns else ""
        if result not in ("", "None") or said.get("return"):
            lines += [f"**Returns** {f'`{result}`' if result else ''} {said.get('return', '')}".rstrip(), ""]
        if raised: lines += [self.nb.refer(f"**Raises** {raised}"), ""]
        marks = {ast.unparse(d).split("(")[0].split(".")[-1] for d in node.decorator_list}
        if marks & {"property", "cached_property"}: return self.fenced(f"py:property}} {name}", lines, depth)
        return self.fenced(f"py:{kind}}} {name}{short(node)}", lines, depth)

    def fenced(self, head, lines, depth) -> list[str]: return ["`"*depth + f"{{{head}", *lines, "`"*depth, ""]


def default_exp_(cell, name): del cell["source"]


def outside_code(change, text: str) -> str:
    "Change the lines of a markdown text that are not code"
    parts = re.split(r"(^ *(`{3,}|\$\$)[\s\S]*?^.*\2 *$|^    .*$)", text, flags=re.M)
    return "".join(p if i % 3 == 1 else change(p) for i, p in enumerate(parts) if i % 3 != 2)


def referring(text: str, page: str, names: dict[str, list[str]]) -> str:
    "Exported names in backticks become references, links to notebooks links to pages; others lead to the repository"
    def name(m):
        homes = names.get(m[1].removeprefix("gru_study.").split(".")[-1] if m[1].startswith("gru_study.") else m[1], [])
        home = module(page) if module(page) in homes else homes[0] if len(homes) == 1 else None
        return f"{{py:obj}}`{m[1]}{m[2] or ''} <{home}.{m[1].split('.')[-1]}>`" if home else m[0]

    def link(m):
        if not m[1]: return f"]({m[2].lower()})"
        target = (NBS/page).parent.joinpath(m[1]).resolve()
        other = relpath(target.with_suffix(""), NBS)
        if target.suffix == ".ipynb" and other in PAGES:
            return f"]({relpath(place(other), Path(place(page)).parent)}.ipynb{(m[2] or '').lower()})"
        if target.exists(): return f"]({CODE_URL}/{target.relative_to(ROOT)})"
        raise FileNotFoundError(f"{page}: a link to {m[1]}, which does not exist")

    text = outside_code(lambda t: re.sub(r"\]\(([^)#\s:]*)(#[^)\s]*)?\)", link, t), text)
    return outside_code(lambda t: "".join(
        l if l.startswith("#") else re.sub(r"(?<![`\w\[}])`([A-Za-z_][\w.]*)(\(\))?`(?![`\]])", name, l)
        for l in t.splitlines(True)), text)


def pictured(cells: list) -> list:
    "An app of the lab is followed by its picture, where docs/_static/lab has one"
    shown = {}
    for i, cell in enumerate(cells):
        app = re.match(r"(\w+)\(", cell.source)
        if cell.cell_type == "code" and app and (ROOT/f"docs/_static/lab/{app[1].lower()}.png").is_file():
            shown.setdefault(app[1].lower(), i)
    image = lambda name: mk_cell(f'<img class="lab" src="_static/lab/{name}.png" alt="The app {name}" loading="lazy">',
        "markdown")
    return [c for i, cell in enumerate(cells) for c in (cell, *(image(name) for name, at in shown.items() if at == i))]


def launch(page: str, settings: dict[str, str]) -> str:
    "A link that opens a notebook in Binder; empty while the repository is not public, since Binder could not read it"
    if settings["public"] != "True": return ""
    project = settings["git_url"].removeprefix("https://github.com/")
    file = quote(f"lab/tree/nbs/{page}.ipynb", safe="")
    return f"[run it in Binder](https://mybinder.org/v2/gh/{project}/{settings['branch']}?urlpath={file})"


def note(page: str) -> str:
    "Where a page comes from, and how it was executed"
    links = [f"[notebook]({CODE_URL}/nbs/{page}.ipynb)"]
    if module(page): links += [f"[module]({CODE_URL}/{module(page).replace('.', '/')}.py)"]
    if there := launch(page, SETTINGS): links.append(there)
    small = ", ".join(f"`{k}={v}`" for k, v in SMALL.get(page, {}).items())
    here = (f"Executed for this page in small: {small}. `gru-study sweep` runs it as you like." if small
        else "In JupyterLab (`make lab`) each of these lines is an app. Here are pictures of them." if page == "start"
        else "")
    return "{.origin}\n" + " · ".join(links) + (f"\n\n:::{{note}}\n{here}\n:::" if here else "")


def process(page: str, notebook: Path, names: dict[str, list[str]], target: Path) -> None:
    "Write the source of a page for Sphinx"
    nb = read_nb(notebook)
    nb.module, nb.refer = module(page), partial(referring, page=page, names=names)
    steps = [populate_language, Entries, strip_ansi, hide_line, rm_header_dash, clean_magics, default_exp_, hide_]
    NBProcessor(nb=nb, procs=steps).process()
    del nb["module"], nb["refer"]
    nb.metadata = dict(kernelspec=dict(name="python3", display_name="python3", language="python"))
    for cell in nb.cells:
        if cell.cell_type == "markdown": cell.source = referring(cell.source, page, names)
        elif page in RESULTS: cell.metadata["tags"] = ["remove-input"]
        for o in cell.get("outputs", []):
            data = o.get("data", {})
            if drawing := data.get("application/vnd.plotly.v1+json"): o["data"] = {"text/html": to_draw(drawing)}
            elif html := data.get("text/html"): data["text/html"] = "".join(html).replace(" ± ", "\u00a0±\u00a0")
    if page == "start": nb.cells = pictured(nb.cells)
    if page != HOME: nb.cells.insert(1, mk_cell(note(page), "markdown"))
    else:
        titles = {"search": "The search for a learning rate <search>"} # not Sphinx's own page
        entry = lambda page: titles.get(place(page), place(page))
        trees = (["```{toctree}", ":hidden:", f":caption: {part}", *map(entry, pages), "```"]
            for part, pages in PARTS.items())
        nb.cells += [mk_cell("\n".join(tree), "markdown") for tree in trees]
    target.parent.mkdir(parents=True, exist_ok=True)
    write_nb(nb, target)


# ---- the site

def static_files(folder: Path) -> None:
    "plotly.js and MathJax from installed packages, so that no page asks another host for them"
    from plotly.offline import get_plotlyjs
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent/"static/mathjax"
    shutil.copytree(mathjax/"output/chtml/fonts/woff-v2", folder/"mathjax/output/chtml/fonts/woff-v2",
        dirs_exist_ok=True)
    shutil.copy(mathjax/"tex-chtml.js", folder/"mathjax")
    (folder/"plotly.min.js").write_text(get_plotlyjs())
    for name in ("figures.js", "figures.css"): shutil.copy(ROOT/"gru_study/assets"/name, folder)
    write_scripts(folder/"play")


def build(work: Path, patterns: list[str], stores: bool = False) -> int:
    "Execute the pages that match a pattern, process all, let Sphinx build the site in `work`/html; its exit code"
    from sphinx.cmd.build import build_main
    chosen = [p for p in PAGES if p not in AS_WRITTEN and any(fnmatch(p, pattern) for pattern in patterns)]
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        list(pool.map(partial(execute, work=work), sorted(chosen, key=lambda p: p not in SMALL)))
    for page in STORED if stores else ():
        if page in chosen: store(page, work)
    shutil.rmtree(work/"source", ignore_errors=True)
    names = symbols()
    for page in PAGES:
        notebook = work/f"executed/{page}.ipynb" if page in chosen else NBS/f"{page}.ipynb"
        process(page, notebook, names, work/f"source/{place(page)}.ipynb")
    static_files(work/"static")
    return build_main(["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT/"docs"),
        "-D", f"html_static_path=_static,{work/'static'}", "-d", str(work/"doctrees"),
        str(work/"source"), str(work/"html")])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=ROOT/"_docs", metavar="FOLDER",
        help="where everything is written, the site to html/ in it")
    parser.add_argument("--execute", nargs="*", default=["*"], metavar="PAGE",
        help="only these pages are executed, such as 'experiments/summary*'; default: all that have something to show")
    parser.add_argument("--store", action="store_true", help="put the outputs of reports and some notebooks into nbs/")
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.exit(build(given.work.resolve(), given.execute, given.store))
