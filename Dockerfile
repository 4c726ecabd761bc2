# docker build -t hwbench .                                       CPU
# docker build -t hwbench --build-arg TORCH_INDEX= .              CUDA (PyPI's torch brings its own CUDA libraries)
# docker run --rm -v "$PWD/data:/hwbench/data" -v "$PWD/results:/hwbench/results" -v "$PWD/reports:/hwbench/reports" \
#     --user "$(id -u)" hwbench reproduce-table1                    with a GPU: --gpus all
# The arguments are make's; `docker run hwbench` lists the targets.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# Any version of make will do.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 hwbench \
    && install -d -o hwbench -g hwbench /hwbench
WORKDIR /hwbench
USER 1000

# An extra index for torch; empty for PyPI's build, which is the CUDA one.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG PYTHON=python3
# Downloads and weights are kept in the data volume.
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    USER=hwbench \
    HWBENCH_CACHE=/hwbench/data/cache \
    XDG_CACHE_HOME=/hwbench/data/cache \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# What decides the installation comes first, so that a change of code does not install torch again.
COPY --chown=hwbench:hwbench pyproject.toml constraints.txt Makefile README.md LICENSE ./
COPY --chown=hwbench:hwbench hwbench/__init__.py hwbench/
RUN make install PYTHON="${PYTHON}" TORCH_INDEX="${TORCH_INDEX}"

COPY --chown=hwbench:hwbench . .
RUN mkdir -p data reports results
VOLUME ["/hwbench/data", "/hwbench/reports", "/hwbench/results"]

ENTRYPOINT ["make"]
CMD ["help"]
