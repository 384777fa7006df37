"""Broker: what lies in it, and how it is."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import RATE, Look, Query, board, lines, number

SMALL = Look(width=6, height=4)
NO_BROKER = "no broker"


def _now(made: Dashboard) -> None:
    """Add the numbers of this moment."""
    made.with_panel(
        number("Broker answers", "Is it there? 1 is yes.", replace(SMALL, empty=NO_BROKER), Query("min(redis_up)"))
    )
    made.with_panel(
        number(
            "Memory in use",
            "How near is the limit (maxmemory)? A full broker takes no more tasks.",
            replace(SMALL, unit="percentunit", warning=0.7, bad=0.9, empty="no broker, or no limit"),
            Query("max(redis_memory_used_bytes / (redis_memory_max_bytes > 0))"),
        )
    )
    made.with_panel(
        number(
            "Last write to disk went well",
            "Would tasks be there after a restart? 1 is yes.",
            replace(SMALL, empty=NO_BROKER),
            Query("min(redis_aof_last_write_status)"),
        )
    )
    made.with_panel(
        number(
            "Up for",
            "When was it started?",
            replace(SMALL, unit="s", empty=NO_BROKER),
            Query("min(redis_uptime_in_seconds)"),
        )
    )


def _messages(made: Dashboard) -> None:
    """Add messages."""
    made.with_row(Row("Messages"))
    made.with_panel(
        lines(
            "Messages by queue",
            "What lies in the broker, and has been taken by no worker yet?",
            Look(stacked=True, empty=NO_BROKER),
            Query("sum by (key) (redis_key_size)", "{{key}}"),
        )
    )
    made.with_panel(
        lines(
            "Queued in Airflow",
            "What does Airflow take for queued? More than lies in the broker is with workers, or lost.",
            Look(stacked=True),
            Query("sum by (queue) (celery_queue_length)", "{{queue}}"),
        )
    )
    made.with_panel(
        lines(
            "Clients",
            "Do workers come and go? And are any refused?",
            Look(empty=NO_BROKER),
            Query("sum(redis_connected_clients)", "connected"),
            Query("sum(redis_blocked_clients)", "waiting for a message"),
            Query(f"sum(rate(redis_rejected_connections_total[{RATE}]))", "refused per second"),
        )
    )


def _server(made: Dashboard) -> None:
    """Add the server."""
    made.with_row(Row("Server"))
    made.with_panel(
        lines(
            "Memory",
            "Does it grow?",
            Look(unit="bytes", empty=NO_BROKER),
            Query("max(redis_memory_used_bytes)", "in use"),
            Query("max(redis_memory_used_rss_bytes)", "of the host"),
            Query("max(redis_memory_max_bytes)", "limit"),
        )
    )
    made.with_panel(
        lines(
            "Commands per second",
            "What is it asked to do?",
            Look(unit="ops", stacked=True, empty=NO_BROKER),
            Query(f"topk(10, sum by (cmd) (rate(redis_commands_total[{RATE}])))", "{{cmd}}"),
        )
    )
    made.with_panel(
        lines(
            "Time of a command",
            "Is it slow? Commands that wait for a message take no time here.",
            Look(unit="s", empty=NO_BROKER),
            Query(
                f"topk(10, sum by (cmd) (rate(redis_commands_duration_seconds_total[{RATE}])) / "
                f"(sum by (cmd) (rate(redis_commands_total[{RATE}])) > 0))",
                "{{cmd}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Network",
            "How much is sent and received?",
            Look(unit="Bps", width=12, empty=NO_BROKER),
            Query(f"sum(rate(redis_net_input_bytes_total[{RATE}]))", "received"),
            Query(f"sum(rate(redis_net_output_bytes_total[{RATE}]))", "sent"),
        )
    )
    made.with_panel(
        lines(
            "Lost keys",
            "Was anything thrown away for want of memory? That must not happen (maxmemory-policy noeviction).",
            Look(width=12, empty=NO_BROKER),
            Query("sum(redis_evicted_keys_total)", "evicted"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board("broker", "Broker", "Do messages get through, and would they outlive a restart?")
    for part in (_now, _messages, _server):
        part(made)
    return made
