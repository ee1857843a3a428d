# p2vit serve in a container: docker build -t p2vit . && docker run -p 8000:8000 -v "$PWD/out/digits:/program:ro" p2vit
# The native engine is compiled in the first stage; the second has no compiler, no shell user and no torch.
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY src src
RUN python -m venv /app && /app/bin/pip install --no-cache-dir ".[serve]"

FROM python:3.12-slim
COPY --from=build /app /app
RUN useradd --system --no-create-home p2vit
USER p2vit
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s CMD ["/app/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["/app/bin/p2vit", "serve", "/program", "--host", "0.0.0.0"]
