#!/usr/bin/env bash
# Build sdist and wheel in dist/, install the wheel in a fresh environment, and use it from an empty folder as a stranger would:
# first with the core's packages only, then with the extras text and lab.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd) place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
lock="$root/requirements.lock"
"${PYTHON:-python3.11}" -m venv "$place/build"
"$place/build/bin/pip" install --quiet --constraint "$lock" build setuptools
rm -rf "$root/dist"
"$place/build/bin/python" -m build --no-isolation --outdir "$root/dist" "$root" >"$place/build.log" || { cat "$place/build.log"; exit 1; }
wheel=$(echo "$root"/dist/*.whl)
"${PYTHON:-python3.11}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --constraint "$lock" "$wheel"
mkdir "$place/empty" "$place/home" && cd "$place/empty"
export HOME=$place/home PATH=$place/venv/bin:$PATH PYDEVD_DISABLE_FILE_VALIDATION=1
unset GRU_STUDY_HOME GRU_STUDY_DATA
set -x
gru-study train --data chorales --epoch 2 --verbose
gru-study sweep music_lm --grid rnn=tanh,gru epoch=2
gru-study search --rnn lstm --trials 2 --seeds 1 --epoch 2 --save_dir search
gru-study sample --out new.mid
gru-study sample music_lm/chorales/gru --out new.wav
gru-study report
gru-study report --recorded
test -s new.mid -a -s new.wav -a -s exp/summary.html -a -s exp/recorded/summary.html
pip install --quiet --constraint "$lock" "$wheel[text,lab]"
gru-study translate pretrained/captions_de_en/gru "Ein Hund schläft."
start=$(python -c 'from gru_study.base import project_file; print(project_file("nbs/start.ipynb"))')
GRU_STUDY_HOME=$PWD jupyter nbconvert --to notebook --execute "$start" --output-dir . --output lab
! grep -q '"output_type": "error"' lab.ipynb
