"Shared by all tests: where the real data is, a tiny data set, a way to run commands."
import io
import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DATA = os.environ.get("GRU_STUDY_DATA")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROME = dict(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-sync"])
LONGEST = "browser", "lab", "docs", "notebooks", "translation", "package", "commands_in_docs", "escape", "sweep"
SOAK = pytest.mark.soak  # one of a kind runs always, the others of it here
NO_DATA = "GRU_STUDY_DATA is not set: no real data files here"


def pytest_configure(config):
    config.addinivalue_line("markers", "real_data: needs the real data files in $GRU_STUDY_DATA")
    config.addinivalue_line("markers", "soak: minutes, or one more of a kind; runs with GRU_STUDY_SOAK, in make soak")
    if DATA and not Path(DATA, "music").is_dir():
        pytest.exit(f"GRU_STUDY_DATA: {Path(DATA, 'music')} does not exist", returncode=2)


def pytest_collection_modifyitems(items):
    "The files that take longest come first, so that two workers end together (with --no-loadscope-reorder)"
    order = {f"test_{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_make_parametrize_id(config, val, argname):
    "Bytes give no name to a test: what is packed at its import differs between two workers (the time in a gzip header)"
    return argname if isinstance(val, bytes) else None


def pytest_runtest_setup(item):
    if item.get_closest_marker("real_data") and not DATA:
        pytest.skip(NO_DATA)
    if item.get_closest_marker("soak") and not os.environ.get("GRU_STUDY_SOAK"): pytest.skip("make soak runs it")


def pytest_terminal_summary(terminalreporter):
    ran, left = ([r for r in terminalreporter.stats.get(kind, []) if "real_data" in r.keywords and r.when == when]
        for kind, when in (("passed", "call"), ("skipped", "setup")))
    terminalreporter.write_line(f"on real files: {len(ran)} tests passed, {len(left)} skipped "
        f"({f'files in {DATA}' if DATA else NO_DATA})")


@pytest.fixture
def home(tmp_path, monkeypatch):
    "A study home of its own"
    monkeypatch.setenv("GRU_STUDY_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def toy(tmp_path): return make_toy(tmp_path)


def make_toy(folder):
    "A small data set as .npz: random melodies with a rule, so that there is something to learn"
    from gru_study.files import write_file
    from gru_study.rolls import MusicData
    from gru_study.sets import to_npz

    rng = np.random.default_rng(0)
    def piece():
        steps = rng.choice([-2, 2], size=rng.integers(8, 30)).cumsum() % 24 + 30
        return np.eye(88, dtype=np.uint8)[steps]
    data = MusicData("toy", [piece() for _ in range(30)], [piece() for _ in range(6)], [piece() for _ in range(6)])
    return write_file(folder / "toy.npz", to_npz(data))


def plain(name):
    "The name of a package as it is compared"
    return re.sub("[-_.]+", "-", name).lower()


def needed(asked):
    "Names of the packages that requirements bring with them, by what is installed here"
    asked, seen = [r for r in map(Requirement, asked) if not r.marker or r.marker.evaluate()], set()
    for r in asked: # grows
        for extra in {"", *r.extras} - {e for name, e in seen if name == plain(r.name)}:
            seen.add((plain(r.name), extra))
            brings = map(Requirement, distribution(r.name).requires or [])
            asked += [q for q in brings if not q.marker or q.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


COMMAND = ("-c", "import sys; from gru_study.cli import main; sys.exit(main())") # gru-study, for any Python

# Most of a short command's time goes into loading torch. A process that has loaded it, and done nothing else, is forked
# for each command whose environment is the same where Python, numba and torch read it as they start.
FORKS = multiprocessing.get_context("forkserver") if hasattr(os, "fork") else None
LOADED = ["gru_study.cli", "gru_study.frames", "gru_study.train", "scipy.linalg", "scipy.stats", "tqdm.auto"]
if FORKS: FORKS.set_forkserver_preload(LOADED)
READ_AT_START = "PYTHON", "LD_", "NUMBA_", "OMP_", "OPENBLAS_", "MKL_", "ATEN_", "ONEDNN_"
at_start = lambda environ: {name: value for name, value in environ.items() if name.startswith(READ_AT_START)}
AT_START = at_start(os.environ)
FORKED = """
import atexit, os, sys
for fd, name in (1, out), (2, err): os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), fd)
os.chdir(cwd)
os.environ |= env
for name in os.environ.keys() - env.keys(): del os.environ[name]
sys.argv, sys.path[:] = ["-c", *words], path
from gru_study.cli import main
code = main()
atexit._run_exitfuncs() # which multiprocessing leaves out
sys.exit(code)
"""


@cache
def first_path():
    "Where Python looks for modules when it begins"
    return json.loads(subprocess.check_output([sys.executable, "-c", "import json, sys; print(json.dumps(sys.path))"]))


def gru_study(*words, cwd=ROOT, **env):
    "Run the command in a process of its own"
    words, env = [*map(str, words)], {name: str(value) for name, value in (os.environ | env).items()}
    if not FORKS or at_start(env) != AT_START:
        return subprocess.run(
            [sys.executable, *COMMAND, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=600)
    with tempfile.TemporaryDirectory() as d:
        told = out, err = Path(d, "out"), Path(d, "err")
        given = dict(words=words, cwd=str(cwd), env=env, out=str(out), err=str(err), path=first_path())
        process = FORKS.Process(target=exec, args=(FORKED, given))
        process.start()
        process.join(600)
        assert process.exitcode is not None, f"gru-study {words} does not end"
        return subprocess.CompletedProcess(words, process.exitcode, *(f.read_text() for f in told))


def here(*words):
    "The command in this process, which has loaded torch; for what trusts nothing and leaves nothing behind"
    from gru_study.cli import main
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err: code = main([*map(str, words)])
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def browser():
    "Headless Chromium"
    if not CHROMIUM: pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(**CHROME)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def pages_end_with_their_test(request):
    "A page that is left open goes on drawing beside the next test"
    if "browser" not in request.fixturenames: return (yield)
    browser = request.getfixturevalue("browser")
    before = {*browser.contexts}
    yield
    for context in {*browser.contexts} - before: context.close()


def drawn(page):
    "How many figures a page has, once all of them are drawn"
    from playwright.sync_api import expect
    figures = page.locator("figure.plotly").count()
    expect(page.locator("figure.plotly .main-svg[role=img]")).to_have_count(figures, timeout=60_000)
    assert figures
    return figures


def open_page(browser, url, width=1280, offline=True):
    "A page, with all that it complained of and all that it asked other hosts for"
    page = browser.new_context(viewport=dict(width=width, height=900), offline=offline).new_page()
    page.complaints, page.requests = [], []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    page.on("request", lambda r: page.requests.append(r.url)
        if not r.url.startswith((url.split("?")[0], "data:", "blob:")) else None)
    page.goto(url)
    return page


@contextmanager
def jupyterlab(root, tmp_path, *words, **env):
    "JupyterLab as it is once installed, on the files under `root`; its address. `words` start it, else `jupyter lab`"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    settings = {
        "c/jupyter_server_config": {
            "ServerApp": dict(ip="127.0.0.1", port=port, port_retries=0, open_browser=False, allow_root=True),
            "IdentityProvider": {"token": ""}},
        "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings":
            {"fetchNews": "false", "checkForUpdates": False},
        "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    }
    for name, content in settings.items():
        path = tmp_path / (name if name.endswith("settings") else f"{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    env = os.environ | dict(JUPYTER_CONFIG_DIR=str(tmp_path / "c"), JUPYTER_DATA_DIR=str(tmp_path / "d"),
        JUPYTERLAB_SETTINGS_DIR=str(tmp_path / "settings"), JUPYTERLAB_WORKSPACES_DIR=str(tmp_path / "w")) | env
    command = [sys.executable, *(words or ("-m", "jupyterlab", f"--ServerApp.root_dir={root}"))]
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try: urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2); break
            except OSError: time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try: server.wait(20)
        except subprocess.TimeoutExpired: server.kill() # JupyterLab sometimes waits for a kernel that is gone
