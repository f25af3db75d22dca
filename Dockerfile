# One image for every process of docker-compose.yml; the base has a Python that pyproject.toml allows.
FROM python:3.12-slim

RUN useradd --create-home flywheel && mkdir /data && chown flywheel /data
WORKDIR /app
COPY constraints.txt ./
RUN pip install --no-cache-dir uv==0.13.9 && uv pip install --system --no-cache --require-hashes -r constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY sdk sdk
COPY schemas schemas
COPY streams streams
COPY flows flows
COPY examples examples
RUN uv pip install --system --no-cache --no-deps ./sdk .

USER flywheel
WORKDIR /data
ENV FLYWHEEL_HOME=/data PYTHONUNBUFFERED=1
ENTRYPOINT ["flywheel"]
CMD ["--help"]
