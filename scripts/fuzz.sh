#!/usr/bin/env bash
# Mutants of recipes, tables, score tables, manifests, results and command lines, as many as you like; every round is another.
#   scripts/fuzz.sh                    1,000 of each kind, again and again, until a fault or Ctrl-C
#   scripts/fuzz.sh 200 1 -k manifests 200 mutants, one round; further arguments go to pytest
# Says what became of them, and shows the first mutant of every fault.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 W2S_FUZZ_EXAMPLES="${1:-1000}"
rounds="${2:-0}"
shift $(($# > 2 ? 2 : $#))
for ((round = 1; rounds == 0 || round <= rounds; round++)); do
  python -m pytest tests/fuzz -q -s -p no:xdist -p no:cacheprovider "$@"
done
