# Production image: the service with the official Pulumi program and its AWS plugin.
# Building it needs the internet: the program and its plugin come from where Pulumi publishes them.
FROM python:3.12-slim-bookworm AS build
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /app/.venv \
 && /app/.venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY service service
COPY stacks stacks
COPY engine engine
COPY models models
COPY pdf pdf
COPY migrations migrations
RUN /app/.venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .
# The program in the version of the SDK, the plugin in the version of the pulumi_aws package.
RUN /app/.venv/bin/python -c "from pulumi.automation import PulumiCommand; PulumiCommand.install(root='/opt/pulumi')"
ENV PULUMI_HOME=/opt/pulumi-home PATH=/app/.venv/bin:/opt/pulumi/bin:$PATH
RUN pulumi plugin install resource aws \
    "v$(python -c 'from importlib.metadata import version; print(version("pulumi-aws"))')"

FROM python:3.12-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates fonts-noto-cjk fonts-noto-core \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --uid 10001 handover \
 && install -d -o handover -m 0700 /data
COPY --from=build /app/.venv /app/.venv
COPY --from=build /opt/pulumi /opt/pulumi
COPY --from=build --chown=handover /opt/pulumi-home /opt/pulumi-home
COPY Pulumi.yaml /app/
COPY stacks /app/stacks
ENV PATH=/app/.venv/bin:/opt/pulumi/bin:$PATH \
    PULUMI_HOME=/opt/pulumi-home \
    HANDOVER_ENGINE=official \
    HANDOVER_DATA_DIRECTORY=/data \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER handover
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s CMD \
  ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["handover"]
CMD ["serve", "--host", "0.0.0.0"]
