# One image, two programs: the consumer (the default) and, in its place, `python -m bootstrap SEEDS...`.
# Any image with Python 3.11 to 3.13, its venv and pip will do as the base: --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=python:3.12-slim-bookworm

# What others wrote: hundreds of megabytes that change only when the lock does, so they are a layer of their own.
FROM ${BASE_IMAGE} AS dependencies
WORKDIR /build
COPY requirements-runtime.lock ./
# Wheels alone: a source distribution would run its author's code here, and ask for a compiler.
# Left out: headers for building TensorFlow operators, the C parser that only TensorFlow's own build calls, and
# the packages' own tests.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements-runtime.lock \
    && rm -rf /opt/venv/lib/python3.*/site-packages/tensorflow/include \
        /opt/venv/lib/python3.*/site-packages/clang/native \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} +

# What we wrote, with its metadata. The build backend comes with hashes too, out of the developers' lock.
FROM ${BASE_IMAGE} AS application
WORKDIR /build
COPY requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' \
        requirements.lock > backend.lock \
    && python3 -m venv backend \
    && backend/bin/python -m pip install --require-hashes --only-binary :all: --requirement backend.lock
COPY pyproject.toml README.md LICENSE ./
COPY neardup neardup
COPY bootstrap bootstrap
COPY consumer consumer
# The command's first line names the interpreter that installed it, which the image to come does not have.
RUN backend/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation --target /opt/neardup . \
    && sed -i '1s|.*|#!/opt/venv/bin/python|' /opt/neardup/bin/neardup

FROM ${BASE_IMAGE} AS runtime
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="neardup" \
      org.opencontainers.image.description="Near-duplicate images out of a Kafka stream: one verdict an image" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"

# A number, so that an orchestrator can see that it is not root. The reports folder is its own: a volume put
# there takes over the owner.
RUN groupadd --gid 10001 neardup \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin neardup \
    && install --directory /app \
    && install --directory --owner 10001 --group 10001 /reports

COPY --from=dependencies /opt/venv /opt/venv
COPY --from=application /opt/neardup /opt/neardup

# The root file system may be read-only: whatever a library wants to write goes to /tmp.
# PYTHONSAFEPATH: a file in the working directory cannot pose as one of our modules.
ENV PATH=/opt/neardup/bin:/opt/venv/bin:${PATH} \
    PYTHONPATH=/opt/neardup \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    KERAS_HOME=/tmp/keras \
    MPLBACKEND=Agg \
    MPLCONFIGDIR=/tmp/matplotlib

WORKDIR /app
USER 10001:10001
EXPOSE 9108
STOPSIGNAL SIGTERM

# http.client and not urllib: it asks this container whatever proxy the environment names.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 9108, timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

CMD ["python", "-m", "consumer"]
