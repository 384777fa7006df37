"""What the tests of the topology filters have in common."""

from typing import Any

# The options of airflow_topology for a site with Celery.
OPTIONS: dict[str, Any] = {
    "executor": "CeleryExecutor",
    "ports": {
        "postgresql": 5432,
        "redis": 6379,
        "api_server": 8080,
        "execution_api": 8443,
        "http": 80,
        "https": 443,
        "worker_logs": 8793,
        "triggerer_logs": 8794,
    },
    "databases": {
        "metadata": {"name": "airflow", "user": "airflow_rw"},
        "results": {"name": "celery", "user": "celery_rw"},
        "results_view": {"name": "celery", "user": "celery_ro"},
    },
}
