# One image for every process of docker-compose.yml; the base has a Python that pyproject.toml allows. A tag moves: name the
# digest that you have looked at with --build-arg BASE=python:3.12-slim@sha256:…
ARG BASE=python:3.12-slim
FROM ${BASE}

RUN useradd --create-home flywheel && mkdir /data && chown flywheel /data
WORKDIR /app
COPY constraints.txt installer.txt ./
# The processes may write no bytecode, so it is made here: a command starts in half of the CPU, a Prefect process too.
RUN pip install --no-cache-dir --require-hashes -r installer.txt && \
    uv pip install --system --no-cache --compile-bytecode --require-hashes -r constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY sdk sdk
COPY schemas schemas
COPY streams streams
COPY flows flows
COPY ui ui
COPY examples examples
RUN uv pip install --system --no-cache --compile-bytecode --no-deps ./sdk .

USER flywheel
WORKDIR /data
ENV FLYWHEEL_HOME=/data HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# No entry point: the workers of Prefect and the chart in deploy/helm name the whole command, as compose does.
CMD ["flywheel", "--help"]
