# One image for every role of the hub: `docker compose build`, then `govhub serve ROLE` as the command.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
WORKDIR /opt/govhub

# The Chinese font that notices are written in and embed.
RUN apt-get update && apt-get install --yes --no-install-recommends fonts-noto-cjk && rm -rf /var/lib/apt/lists/*

COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock

COPY hub hub
COPY adapters adapters
COPY schemas schemas
COPY topics topics
COPY signing signing
COPY stubs stubs
RUN printf '#!/bin/sh\nexec python -m hub "$@"\n' > /usr/local/bin/govhub && chmod 755 /usr/local/bin/govhub \
 && useradd --uid 10001 --home-dir /var/lib/govhub --create-home --shell /usr/sbin/nologin govhub \
 && mkdir -p /var/lib/govhub/files && chown govhub:govhub /var/lib/govhub/files

USER govhub
ENV HUB_DATA_DIR=/var/lib/govhub
VOLUME /var/lib/govhub
ENTRYPOINT ["govhub"]
