# Sourced by the other scripts: makes (once) and enters the virtual environment .venv with pinned versions.
# W2S_VENV gives another folder; W2S_PYTHON another interpreter (3.11 or newer).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${W2S_VENV:-$root/.venv}"
python="${W2S_PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set W2S_PYTHON" >&2; exit 1; }
stamp="$venv/.w2s-installed"
wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | sha256sum | cut -d' ' -f1)"
if [ ! -x "$venv/bin/python" ]; then "$python" -m venv "$venv"; fi
# shellcheck disable=SC1091
. "$venv/bin/activate"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "installing into $venv (a minute or two, longer on a slow line) …"
  # pip would compile all 16,000 modules, which takes a minute or two; the quarter that runs import is compiled below.
  pip=(python -m pip install --quiet --disable-pip-version-check --no-compile -c "$root/constraints.txt")
  # torch first: otherwise another package may pull a build of several gigabytes.
  "${pip[@]}" torch 2> >(grep -v "is ignored: it is" >&2)
  "${pip[@]}" -e "$root[dev,docs,deepspeed]" 2> >(grep -v "is ignored: it is" >&2)
  used="deepspeed, pytest, w2s_pref.cli.main, w2s_pref.report.html, w2s_pref.training.policy, w2s_pref.training.ppo.fit"
  env -u PYTHONDONTWRITEBYTECODE python -c "import $used" > /dev/null 2>&1 || true  # what is missing says so when it is used
  echo "$wanted" > "$stamp"
fi
export HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false
