#!/usr/bin/env bash
# What the study needs: its Python packages in .venv, and the public data files, each checked against its hash.
# A file that cannot be reached is named, with the place to put it by hand; the embedded chorales need none.
set -eu
cd "$(dirname "$0")"
make setup
if .venv/bin/gru-study fetch "$@"; then
    echo "prereq: all packages and data files are there"
else
    echo "prereq: the packages are there; the data files named above are not. 'make study' works without them."
    exit 1
fi
