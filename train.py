"""The study's original command, from the root: python3 -m train --task music_lm --rnn gru --data JSB ...

The same as `gru-study train`. Where the package is not installed for this Python, the one in .venv is used.
"""
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    try:
        from gru_study.cli import main
    except ImportError as missing:
        python = Path(__file__).parent / ".venv/bin/python"
        if not python.exists() or Path(sys.executable).absolute() == python.absolute():
            sys.exit(f"train: {missing.name} is not installed; run 'make setup' first")
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    sys.exit(main(["train", *sys.argv[1:]]))
