# One image for everything: workers, beat, Flower and the `fintrack` command. Nothing in it but the runtime set of
# requirements.txt; secrets come at run time (NAME or NAME_FILE, see .env.example), never at build time.

FROM python:3.11-slim-bookworm AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/fintrack
ENV PATH=/opt/fintrack/bin:$PATH
WORKDIR /src
# The dependencies change less often than the code: their layer is built from these lines alone.
COPY requirements.txt ./
RUN python -m pip install --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md LICENSE celeryconfig.py ./
COPY fintrack_tasks ./fintrack_tasks
RUN python -m pip install --no-deps .

FROM python:3.11-slim-bookworm
ENV PATH=/opt/fintrack/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    LOG_FORMAT=json \
    FINTRACK_HOME=/var/lib/fintrack \
    # SIGTERM begins Celery's soft shutdown: what runs may end, the rest goes back to its queue before the grace ends.
    REMAP_SIGTERM=SIGQUIT
RUN groupadd --gid 10001 fintrack \
    && useradd --uid 10001 --gid fintrack --no-create-home --home-dir /var/lib/fintrack fintrack \
    && install -d -o fintrack -g fintrack /var/lib/fintrack
COPY --from=builder /opt/fintrack /opt/fintrack
WORKDIR /app
USER fintrack
STOPSIGNAL SIGTERM
# For a worker with Celery's own node name, as CMD starts it; docker-compose.yml has one for each other role.
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 \
    CMD celery -A fintrack_tasks inspect ping --timeout 5 --destination "celery@$HOSTNAME" || exit 1
CMD ["celery", "-A", "fintrack_tasks", "worker", "--loglevel", "INFO"]
