# Two stages on one base: the first installs into a virtual environment, the second only copies it.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python -m venv /opt/pandityatra
ENV PATH=/opt/pandityatra/bin:$PATH
COPY requirements.lock ./
RUN pip install --require-hashes --no-deps -r requirements.lock
COPY . .
# The embedded database is for the demo alone; production speaks to a real replica set.
RUN pybabel compile -D messages -d locale \
    && pip install --no-deps --no-build-isolation --no-index . \
    && pip uninstall --yes secantusdb setuptools

FROM python:3.11-slim-bookworm
ENV PATH=/opt/pandityatra/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PANDITYATRA_ENV=production \
    PANDITYATRA_HTTP__HOST=0.0.0.0 \
    PANDITYATRA_HTTP__PORT=8888 \
    PANDITYATRA_FILES__PATH=/data/files
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin pandityatra \
    && install -d -o 10001 -g 10001 /data /data/files
COPY --from=build /opt/pandityatra /opt/pandityatra
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8888
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=40s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8888/healthz', timeout=4)"]
ENTRYPOINT ["pandityatra"]
CMD ["serve"]
