"Package metadata, read from settings.ini; a built package gets copies of the notebooks and of the recorded results."
import re
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(root / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
extras = {name: cfg[f"{name}_requirements"].split()
    for name in ("text", "cluster", "tensorboard", "bench", "hub", "onnx", "lab", "docs", "dev")}
for_all = sum((extras[name] for name in ("text", "cluster", "tensorboard", "hub", "onnx", "lab")), [])
# of pictures, of files
place = {"!": f"{cfg['git_url']}/raw/{cfg['branch']}", "": f"{cfg['git_url']}/blob/{cfg['branch']}"}
readme = re.sub(r"(!?)(\[[^]]*\]\()(?!https?:|#)", lambda m: f"{m[1]}{m[2]}{place[m[1]]}/",
    (root / "README.md").read_text(encoding="utf-8"))


class BuildWithProject(build_py):
    "What gru_study.base.project_file finds outside a checkout"

    def run(self):
        super().run()
        if self.editable_mode: return
        copies = Path(self.build_lib, "gru_study/assets/project")
        shutil.rmtree(copies, ignore_errors=True)
        for pattern in ("nbs/[!i]*.ipynb", "nbs/experiments/[!.]*.*", "results/bench.json", "results/*/*.*"):
            for file in root.glob(pattern):
                (copies / file.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copies / file.relative_to(root))


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme,
    long_description_content_type="text/markdown",
    author=cfg["author"],
    url=cfg["git_url"],
    project_urls={
        "Documentation": cfg["doc_host"] + cfg["doc_baseurl"],
        "Changelog": f"{cfg['git_url']}/blob/{cfg['branch']}/CHANGELOG.md",
    },
    keywords=cfg["keywords"].split(),
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Jupyter :: JupyterLab",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["gru_study*"]),
    include_package_data=False,
    package_data={"gru_study": ["py.typed", "assets/**/*"]},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require=extras | {"all": for_all},
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"],
    },
    cmdclass={"build_py": BuildWithProject},
    zip_safe=False,
)
