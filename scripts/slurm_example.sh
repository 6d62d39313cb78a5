#!/usr/bin/env bash
# One recipe on 2 machines with 8 GPUs each: sbatch scripts/slurm_example.sh RECIPE [key=value …]
# SLURM starts one launcher per machine, and each launcher its 8 processes. Killed or out of time, the same sbatch goes on.
#SBATCH --job-name=w2s
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
set -euo pipefail
first="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
gpus="${SLURM_GPUS_ON_NODE:-8}"
export OMP_NUM_THREADS="$((SLURM_CPUS_PER_TASK / gpus))"
# SLURM_NODEID is known only on each machine, hence the quotes.
srun --kill-on-bad-exit=1 bash -c 'exec accelerate launch --config_file accelerate_configs/multi_node.yaml \
  --num_machines "$SLURM_NNODES" --num_processes "$((SLURM_NNODES * $0))" --machine_rank "$SLURM_NODEID" \
  --main_process_ip "$1" --main_process_port "$((20000 + SLURM_JOB_ID % 20000))" recipes/run.py "${@:2}"' "$gpus" "$first" "$@"
