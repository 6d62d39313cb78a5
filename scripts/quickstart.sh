#!/usr/bin/env bash
# Makes the environment, runs the main job on the embedded testbed (no network, no GPU), and shows the way to the report.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
export HF_HUB_OFFLINE=1
w2s run recipes/quickstart.yaml "$@"
echo
echo "Open runs/quickstart/report.html in a browser. The same command again takes seconds: nothing is computed twice."
