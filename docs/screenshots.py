"Take the lab's screenshots anew: python docs/screenshots.py runs start.ipynb in JupyterLab and uses each app a little."
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/"tests"))
from conftest import CHROMIUM, jupyterlab, open_page  # noqa: E402


def take(page, folder: Path) -> None:
    "Each app after a few clicks, in a window tall enough for all of it"
    app = lambda code: page.locator(".jp-CodeCell").filter(has=page.locator(".jp-InputArea", has_text=code)).last
    def shot(code, name, height):
        page.mouse.move(0, 0)
        app(code).scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        box = app(code).locator(".jp-OutputArea-output").first.bounding_box()
        page.screenshot(path=folder/f"{name}.png", clip=dict(x=box["x"], y=box["y"], width=box["width"], height=min(box["height"], height)))

    shot("Browse()", "browse", 720)
    train = app("Train(epoch=60")
    for rnn in ("tanh", "gru"):
        train.locator(".widget-label:text-is('rnn')").locator("xpath=..").locator("input").first.fill(rnn)
        train.get_by_role("button", name="Start").click()
        page.wait_for_function(f"document.body.innerText.includes('{rnn}-1 finished epoch 60 of 60')", timeout=120_000)
    shot("Train(epoch=60", "train", 1400)
    app("Compose()").get_by_role("button", name="harmonise the piece").click()
    app("Compose()").get_by_role("button", name="Compose").click()
    page.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')].some(e => /^Harmonise/.test(e._fullLayout.title.text))")
    shot("Compose()", "compose", 900)
    shot("LookInside()", "lookinside", 1235)
    shot("Compare()", "compare", 1770)
    shot("Speak()", "speak", 1000)


with tempfile.TemporaryDirectory() as d, sync_playwright() as p:
    home, folder = Path(d), ROOT/"docs/_static/lab"
    shutil.copy(ROOT/"nbs/start.ipynb", home)
    folder.mkdir(exist_ok=True)
    browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
    with jupyterlab(home, home/"jupyter", GRU_STUDY_HOME=str(home)) as address:
        page = open_page(browser, f"{address}/lab/tree/start.ipynb?reset", offline=False)
        page.set_viewport_size(dict(width=1280, height=3400))
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.wait_for_function("document.querySelectorAll('.gru-plot .main-svg').length >= 12", timeout=120_000)
        take(page, folder)
    browser.close()
