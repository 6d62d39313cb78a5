#!/usr/bin/env bash
# A second CI job: the fast part of the suite against the newest releases that pyproject.toml allows, whatever
# constraints.txt pins, in an environment of its own (.venv-newest; W2S_NEWEST_VENV names another). Says what broke.
#   scripts/newest.sh              install, test, report; status 1 where something broke
#   scripts/newest.sh --resolve    only say which versions pip would take
#   scripts/newest.sh --beyond     as well trl and transformers beyond the upper bounds of pyproject.toml
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${W2S_NEWEST_VENV:-$root/.venv-newest}"
python="${W2S_PYTHON:-python3}"
mode="${1:-}"
case "$mode" in "" | --resolve | --beyond) ;; *) echo "usage: scripts/newest.sh [--resolve | --beyond]" >&2; exit 2 ;; esac
cd "$root"
if [ ! -x "$venv/bin/python" ]; then "$python" -m venv "$venv"; fi
# shellcheck disable=SC1091
. "$venv/bin/activate"
pip=(python -m pip --disable-pip-version-check)
newest=(install --upgrade --upgrade-strategy eager)

if [ "$mode" = --resolve ]; then
  "${pip[@]}" "${newest[@]}" --quiet --dry-run --ignore-installed --report "$venv/resolved.json" ".[dev]" 2>/dev/null
  python scripts/newest.py resolved "$venv/resolved.json"
  exit
fi

"${pip[@]}" "${newest[@]}" --quiet torch
"${pip[@]}" "${newest[@]}" --quiet -e ".[dev]"
if [ "$mode" = --beyond ]; then "${pip[@]}" "${newest[@]}" --quiet trl transformers; fi
python scripts/newest.py installed

export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false
# What touches other libraries and takes seconds: reading, tokens, rows, heads, losses, trainings of steps, exports.
fast=(tests/core tests/data tests/rows tests/heads tests/training tests/students tests/tasks tests/results tests/report tests/test_objectives.py)
status=0
python -m pytest -n "${W2S_TEST_WORKERS:-2}" --dist loadscope -q --junitxml "$venv/newest.xml" "${fast[@]}" || status=$?
python scripts/newest.py broken "$venv/newest.xml"
exit "$status"
