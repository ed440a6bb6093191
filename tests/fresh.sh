#!/usr/bin/env bash
# Install the wheel given, with the core's packages only, in a fresh environment, and use it from an empty folder as a stranger would.
set -eu
wheel=$(realpath "$1") lock=$(realpath "$(dirname "$0")/../requirements.lock") place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3.11}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --constraint "$lock" "$wheel"
mkdir "$place/empty" "$place/home" && cd "$place/empty"
export HOME=$place/home PATH=$place/venv/bin:$PATH
unset GRU_STUDY_HOME GRU_STUDY_DATA
set -x
gru-study train --data chorales --epoch 2 --verbose
gru-study sweep music_lm --grid rnn=tanh,gru epoch=2
gru-study search --rnn lstm --trials 2 --seeds 1 --epoch 2 --save_dir search 2>/dev/null
gru-study sample --out new.mid
gru-study sample music_lm/chorales/gru --out new.wav
gru-study report
gru-study report --recorded
find . -type f -not -name ".*" | sort
