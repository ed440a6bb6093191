"""The study's original command, from the root: python3 -m train --task music_lm --rnn gru --data JSB ...

The same as `gru-study train`. Where this Python lacks what the package needs, the one in .venv is used.
"""
import os
import sys
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":
    if not (find_spec("torch") and find_spec("pydantic_settings")):
        python = Path(__file__).parent / ".venv/bin/python"
        if not python.exists() or Path(sys.executable).absolute() == python.absolute():
            sys.exit("train: torch or pydantic-settings is not installed; run 'make setup' first")
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    from gru_study.cli import main

    sys.argv.insert(1, "train")
    sys.exit(main())
