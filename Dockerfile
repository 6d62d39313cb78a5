# The package with its pinned dependencies.
#   docker build -t w2s-pref .                          CPU
#   docker build -t w2s-pref --build-arg DEVICE=cuda .  CUDA: PyPI's torch, which brings its CUDA libraries; the host needs
#                                                       a driver and the NVIDIA container toolkit (docker run --gpus all)
#   docker run --rm -v "$PWD:/work" w2s-pref run quickstart
ARG PYTHON=3.11
FROM python:${PYTHON}-slim
ARG DEVICE=cpu

# hadolint ignore=DL3064
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false

# torch has a layer of its own, and comes first: otherwise another package may pull the CUDA build.
COPY constraints.txt /src/
RUN case "$DEVICE" in \
      cpu) pip install -c /src/constraints.txt torch --index-url https://download.pytorch.org/whl/cpu ;; \
      cuda) pip install -c /src/constraints.txt torch ;; \
      *) echo "DEVICE is cpu or cuda, not '$DEVICE'" >&2; exit 1 ;; \
    esac

COPY pyproject.toml README.md LICENSE /src/
# w2s_pref/recipes is a link to recipes.
COPY recipes /src/recipes
COPY w2s_pref /src/w2s_pref
RUN pip install -c /src/constraints.txt /src && rm -rf /src/build /src/*.egg-info

# Files that a run writes into a mounted folder belong to who starts it: docker run --user "$(id -u):$(id -g)" …
RUN useradd --create-home --uid 1000 w2s
USER 1000
ENV HF_HOME=/home/w2s/.cache/huggingface
WORKDIR /work
ENTRYPOINT ["w2s"]
CMD ["--help"]
