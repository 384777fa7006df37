"""API: requests, how long they take, and errors, as the load balancers and the probes see them."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import INSTANCE, RATE, Look, Query, board, instance, lines, resident

PROXIES = 'proxy=~"airflow_.*"'
ANSWERS = "haproxy_backend_http_responses_total"
NO_BALANCER = "no load balancer"
API_UNIT = 'groupname=~"airflow-api-server.*"'


def _requests(made: Dashboard) -> None:
    """Add requests."""
    made.with_row(Row("Requests"))
    made.with_panel(
        lines(
            "Requests per second",
            "How much do people (airflow_api) and tasks (airflow_execution) ask?",
            Look(unit="reqps", stacked=True, empty=NO_BALANCER),
            Query(
                f"sum by (proxy) (rate(haproxy_backend_http_requests_total{{{PROXIES}, {INSTANCE}}}[{RATE}]))",
                "{{proxy}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Answers by code",
            "What do they get?",
            Look(unit="reqps", stacked=True, empty=NO_BALANCER),
            Query(
                f"sum by (code) (rate({ANSWERS}{{{PROXIES}, {INSTANCE}}}[{RATE}]))",
                "{{code}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Sessions",
            "How many connections are open, and do any wait for a free server?",
            Look(empty=NO_BALANCER),
            Query(f"sum by (proxy) (haproxy_backend_current_sessions{{{PROXIES}, {INSTANCE}}})", "{{proxy}}: open"),
            Query(f"sum by (proxy) (haproxy_backend_current_queue{{{PROXIES}, {INSTANCE}}})", "{{proxy}}: waiting"),
        )
    )


def _latency(made: Dashboard) -> None:
    """Add times."""
    made.with_row(Row("How long it takes"))
    made.with_panel(
        lines(
            "Response time",
            "How long does an API server take? The mean of the last 1024 requests: HAProxy keeps no more.",
            Look(unit="s", empty=NO_BALANCER),
            Query(
                f"max by (proxy) (haproxy_backend_response_time_average_seconds{{{PROXIES}, {INSTANCE}}})", "{{proxy}}"
            ),
        )
    )
    made.with_panel(
        lines(
            "Response time by server",
            "Is it one of the API servers?",
            Look(unit="s", empty=NO_BALANCER),
            Query(
                f"max by (proxy, server) (haproxy_server_response_time_average_seconds{{{PROXIES}, {INSTANCE}}})",
                "{{proxy}} {{server}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Probes: how long they take",
            "How long does a request take as a whole, seen from the host of Prometheus?",
            Look(unit="s"),
            Query('max by (instance) (probe_duration_seconds{job="probe"})', "{{instance}}"),
        )
    )


def _errors(made: Dashboard) -> None:
    """Add errors."""
    made.with_row(Row("Errors"))
    made.with_panel(
        lines(
            "Share of answers that are errors of a server",
            "Do API servers fail (5xx)?",
            Look(unit="percentunit", empty=NO_BALANCER),
            Query(
                f'sum by (proxy) (rate({ANSWERS}{{code="5xx", {PROXIES}, {INSTANCE}}}[{RATE}])) / '
                f"(sum by (proxy) (rate({ANSWERS}{{{PROXIES}, {INSTANCE}}}[{RATE}])) > 0)",
                "{{proxy}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Errors on the way",
            "Do connections to API servers fail, or break off?",
            Look(unit="ops", empty=NO_BALANCER),
            Query(
                f"sum(rate(haproxy_backend_connection_errors_total{{{PROXIES}, {INSTANCE}}}[{RATE}]))", "no connection"
            ),
            Query(f"sum(rate(haproxy_backend_response_errors_total{{{PROXIES}, {INSTANCE}}}[{RATE}]))", "no answer"),
            Query(f"sum(rate(haproxy_backend_retry_warnings_total{{{PROXIES}, {INSTANCE}}}[{RATE}]))", "asked again"),
            Query(f"sum(rate(haproxy_backend_client_aborts_total{{{PROXIES}, {INSTANCE}}}[{RATE}]))", "client went"),
        )
    )
    made.with_panel(
        lines(
            "Servers that are up",
            "Do all API servers take requests? 1 is yes.",
            Look(most=1, empty=NO_BALANCER),
            Query(
                f'max by (proxy, server) (haproxy_server_status{{state="UP", {PROXIES}, {INSTANCE}}})',
                "{{proxy}} {{server}}",
            ),
        )
    )


def _servers(made: Dashboard) -> None:
    """Add what API servers take, and what probes get."""
    made.with_row(Row("Probes and API servers"))
    made.with_panel(
        lines(
            "Probes",
            "Is what people and workers connect to there? 1 is yes.",
            Look(most=1),
            Query('max by (instance) (probe_success{job="probe"})', "{{instance}}"),
        )
    )
    made.with_panel(
        lines(
            "Processors of API servers",
            "How many cores do they use?",
            Look(),
            Query(
                f"sum by (instance) (rate(namedprocess_namegroup_cpu_seconds_total{{{API_UNIT}}}[{RATE}]))",
                "{{instance}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Memory of API servers",
            "Does one of them grow?",
            Look(unit="bytes"),
            Query(f"sum by (instance) ({resident(API_UNIT)})", "{{instance}}"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board(
        "api",
        "API",
        "Do people and tasks get their answers, quickly and without errors?",
        instance("haproxy_backend_status"),
    )
    for part in (_requests, _latency, _errors, _servers):
        part(made)
    return made
