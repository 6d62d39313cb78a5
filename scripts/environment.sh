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
  # torch first: otherwise another package may pull a build of several gigabytes.
  python -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" torch 2> >(grep -v "is ignored: it is" >&2)
  python -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" -e "$root[dev,docs,deepspeed]" 2> >(grep -v "is ignored: it is" >&2)
  echo "$wanted" > "$stamp"
fi
export HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false
