# The server with a Codex CLI of a known version; its login lives in the volume /home/proxy/.codex.
FROM python:3.12-slim

RUN useradd --create-home proxy
WORKDIR /srv/codex-openai-proxy

# Dependencies change less often than the code, so they are installed first.
COPY requirements.lock .
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY codex_rpc codex_rpc
COPY fixtures fixtures
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

USER proxy
RUN mkdir -p /home/proxy/.codex /home/proxy/.config/codex-openai-proxy /home/proxy/.local/state/codex-openai-proxy
VOLUME ["/home/proxy/.codex", "/home/proxy/.config/codex-openai-proxy", "/home/proxy/.local/state/codex-openai-proxy"]
EXPOSE 11435
HEALTHCHECK --interval=30s --timeout=5s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:11435/healthz', timeout=4)"]

CMD ["codex-openai-proxy", "serve"]
