"""Are gru_study/, README.md and the notebooks' own cleanliness in step? Works on a copy; changes nothing.

--write-readme makes README.md from nbs/index.ipynb, and the sections on results, speed and data, there and in nbs/docs,
from results/ and gru_study/assets/datasets.json; --conflicts only looks for merges that are not resolved.
"""
import filecmp
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]


INDEX = ROOT / "nbs/index.ipynb"
PAGES = [INDEX, *(ROOT / f"nbs/docs/{name}.ipynb" for name in ("results", "speed", "data_faults"))]


def sections() -> list[str]:
    "What README and pages say of results, speed and data: as recorded, and from the rows of the data sets"
    sys.path.insert(0, str(ROOT))
    from gru_study.bench import readme_speed
    from gru_study.beyond import readme_beyond
    from gru_study.findings import readme_data, readme_music
    from gru_study.sounds import STUDIES as SOUND, readme_sound
    from gru_study.study import read_study
    from gru_study.translations import read_translations, readme_words
    return [s for s in (
        readme_music(read_study(ROOT / "results/table2")), readme_words(read_translations(ROOT / "results/multi30k")),
        readme_sound(SOUND.read(ROOT / "results/speech")), readme_beyond(),
        readme_speed(json.loads((ROOT / "results/bench.json").read_text())), readme_data()) if s]


def placed(section: str, page: Path) -> str:
    "A section with its links as they lead from a page"
    if page == INDEX: return section
    return re.sub(r"\]\(nbs/(docs/)?", lambda m: "](" if m[1] else "](../", section)


def write_sections() -> None:
    "Put each section where it stands"
    notebooks, new = {page: nbformat.read(page, 4) for page in PAGES}, sections()
    for section in new:
        begins = section.split("\n")[0] + "\n"
        ((page, cell),) = [(p, c) for p, nb in notebooks.items() for c in nb.cells if c.source.startswith(begins)]
        cell.source = placed(section, page)
    for page, nb in notebooks.items(): nbformat.write(nb, page)


def readme() -> str:
    "README.md as nbs/index.ipynb has it"
    nb = nbformat.read(INDEX, 4)
    nb.cells = [c for c in nb.cells if not c.source.startswith("#| hide")]
    return MarkdownExporter().from_notebook_node(nb)[0].strip() + "\n"


def changed(ours: Path, fresh: Path, pattern: str) -> list[str]:
    "Files that differ between two folders, or stand in only one"
    names = {p.relative_to(d) for d in (ours, fresh) for p in d.rglob(pattern)
        if "checkpoints" not in str(p) and "__pycache__" not in str(p)}
    same = lambda n: (ours / n).is_file() and (fresh / n).is_file() and filecmp.cmp(ours / n, fresh / n, shallow=False)
    return [str(n) for n in sorted(names) if not same(n)]


# what git writes; nbdev gives it a cell of its own, in backticks
MARKER = re.compile(r'^\s*"?`?(<{7} |>{7} |\|{7} |={7}(`|\\n|"|,|$))', re.M)
KINDS = {".ipynb", ".py", ".md", ".ini", ".toml", ".yaml", ".json", ".csv", ".lock", ".cff", ".js", ".css", ".sh", ""}
FOLDERS = ("nbs", "gru_study", "tests", "docs", "results", ".github", ".ci")


def conflicts() -> list[str]:
    "Places where both sides of a merge still stand"
    below = (f for name in FOLDERS for f in (ROOT / name).rglob("*"))
    files = sorted(f for f in (*ROOT.iterdir(), *below) if f.is_file() and f.suffix in KINDS)
    found = {f: MARKER.search(f.read_text(errors="replace")) for f in files if "checkpoints" not in str(f)}
    said = "{}: holds {!r}, the mark of a merge that is not resolved"
    return [said.format(f.relative_to(ROOT), m[0].strip()) for f, m in found.items() if m]


def main() -> int:
    if wrong := conflicts():
        print("\n".join([*wrong, "resolve it: keep one side, and delete the marks"]))
        return 1
    if "--conflicts" in sys.argv: return 0
    if "--write-readme" in sys.argv:
        write_sections()
        (ROOT / "README.md").write_text(readme())
        return 0
    with tempfile.TemporaryDirectory() as d:
        copy = Path(d, "copy")
        skip = shutil.ignore_patterns(".git", ".venv", "exp", "log", "build", "dist", "_docs", "__pycache__",
            ".ipynb_checkpoints")
        shutil.copytree(ROOT, copy, ignore=skip)
        for command in ([Path(sys.executable).with_name("nbdev_clean")], [sys.executable, "tests/export.py"]):
            subprocess.run(command, cwd=copy, check=True)
        wrong = [f"gru_study/{n}: not what the notebooks export"
            for n in changed(ROOT / "gru_study", copy / "gru_study", "*.py")]
        wrong += [f"nbs/{n}: not clean" for n in changed(ROOT / "nbs", copy / "nbs", "*.ipynb")]
    if (ROOT / "README.md").read_text() != readme():
        wrong.append("README.md: not what nbs/index.ipynb says")
    print("\n".join(wrong + ["run 'make export'"]) if wrong else "in step: package, README and notebooks")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
