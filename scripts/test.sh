#!/usr/bin/env bash
# Makes the environment and passes the tests: ruff, mypy, pytest. Arguments go to pytest.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
if [ "$#" -eq 0 ]; then
  ruff check .
  ruff format --check .
  mypy w2s_pref
fi
python -m pytest -n "${W2S_TEST_WORKERS:-2}" --dist loadscope "$@"
