"""Database: connections, size, and the statements that take its time."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import RANGE, RATE, Look, Query, board, lines, number, rows

# Debian 12's exporter tells of no database (datname="") what is shared by all.
DATABASE = 'datname!~"|template.*"'
SMALL = Look(width=6, height=4)


def _now(made: Dashboard) -> None:
    """Add the numbers of this moment."""
    made.with_panel(
        number("Database answers", "Is it there? 1 is yes.", SMALL, Query("min(pg_up)")),
    )
    made.with_panel(
        number(
            "Connections in use",
            "How near is the limit (max_connections)?",
            replace(SMALL, unit="percentunit", warning=0.7, bad=0.9),
            Query("sum(pg_stat_activity_count) / max(pg_settings_max_connections)"),
        )
    )
    made.with_panel(
        number(
            "Longest transaction",
            "Does somebody hold locks, and keep old rows from being cleaned up?",
            replace(SMALL, unit="s", warning=600, bad=3600),
            Query("max(pg_stat_activity_max_tx_duration)"),
        )
    )
    made.with_panel(
        number(
            "Size",
            "How large are all databases together?",
            replace(SMALL, unit="bytes"),
            Query("sum(pg_database_size_bytes)"),
        )
    )


def _load(made: Dashboard) -> None:
    """Add what the server does."""
    made.with_row(Row("Load"))
    made.with_panel(
        lines(
            "Connections by state",
            "Who has connections, and do many sit in an open transaction?",
            Look(stacked=True),
            Query("sum by (state) (pg_stat_activity_count)", "{{state}}"),
            Query("max(pg_settings_max_connections)", "limit"),
        )
    )
    made.with_panel(
        lines(
            "Transactions per second",
            "How much is asked of the database?",
            Look(unit="ops"),
            Query(
                f"sum by (datname) (rate(pg_stat_database_xact_commit{{{DATABASE}}}[{RATE}]))", "{{datname}}: committed"
            ),
            Query(
                f"sum by (datname) (rate(pg_stat_database_xact_rollback{{{DATABASE}}}[{RATE}]))", "{{datname}}: undone"
            ),
        )
    )
    made.with_panel(
        lines(
            "Pages found in memory",
            "Is the memory for pages (shared_buffers) large enough?",
            Look(unit="percentunit", most=1),
            Query(
                f"sum by (datname) (rate(pg_stat_database_blks_hit{{{DATABASE}}}[{RATE}])) / "
                f"(sum by (datname) (rate(pg_stat_database_blks_hit{{{DATABASE}}}[{RATE}])) + "
                f"sum by (datname) (rate(pg_stat_database_blks_read{{{DATABASE}}}[{RATE}])) > 0)",
                "{{datname}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Size by database",
            "Does the metadata grow for ever? The role airflow_maintenance cleans it up.",
            Look(unit="bytes", stacked=True),
            Query(f"max by (datname) (pg_database_size_bytes{{{DATABASE}}})", "{{datname}}"),
        )
    )
    made.with_panel(
        lines(
            "Rows per second",
            "Is it read or written?",
            Look(unit="ops"),
            Query(f"sum(rate(pg_stat_database_tup_fetched{{{DATABASE}}}[{RATE}]))", "fetched"),
            Query(f"sum(rate(pg_stat_database_tup_inserted{{{DATABASE}}}[{RATE}]))", "inserted"),
            Query(f"sum(rate(pg_stat_database_tup_updated{{{DATABASE}}}[{RATE}]))", "updated"),
            Query(f"sum(rate(pg_stat_database_tup_deleted{{{DATABASE}}}[{RATE}]))", "deleted"),
        )
    )
    made.with_panel(
        lines(
            "Locks and deadlocks",
            "Do transactions wait for each other?",
            Look(),
            Query(f"sum by (mode) (pg_locks_count{{{DATABASE}}}) > 0 or vector(0)", "{{mode}}"),
            Query(f"3600 * sum(rate(pg_stat_database_deadlocks{{{DATABASE}}}[{RATE}]))", "deadlocks per hour"),
        )
    )


def _statements(made: Dashboard) -> None:
    """Add statements."""
    made.with_row(Row("Statements"))
    made.with_panel(
        lines(
            "Time by statement",
            "Which statements take the database's time, in seconds per second?",
            Look(unit="s", width=12, stacked=True),
            Query(f"topk(8, sum by (queryid) (rate(pg_statements_seconds_total[{RATE}])))", "{{queryid}}"),
        )
    )
    made.with_panel(
        lines(
            "Temporary files",
            "Do statements need more memory than they may have (work_mem)?",
            Look(unit="Bps", width=6),
            Query(f"sum by (datname) (rate(pg_stat_database_temp_bytes{{{DATABASE}}}[{RATE}]))", "{{datname}}"),
        )
    )
    made.with_panel(
        lines(
            "What monitoring takes",
            "How long does the exporter of Airflow's state ask the database?",
            Look(unit="s", width=6),
            Query("max by (instance) (airflow_exporter_scrape_seconds)", "{{instance}}"),
        )
    )
    made.with_panel(
        rows(
            "Slowest statements",
            "What are these statements, how often do they run, and how long do they take each time?",
            Look(width=24, height=12, columns=("queryid", "query")),
            Query(f"topk(20, sum by (queryid, query) (increase(pg_statements_seconds_total[{RANGE}])))", "seconds"),
            Query(f"sum by (queryid, query) (increase(pg_statements_calls[{RANGE}]))", "calls"),
            Query(
                f"sum by (queryid, query) (increase(pg_statements_seconds_total[{RANGE}])) / "
                f"(sum by (queryid, query) (increase(pg_statements_calls[{RANGE}])) > 0)",
                "seconds each",
            ),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board("database", "Database and queries", "Does the database keep up, and which statements take its time?")
    for part in (_now, _load, _statements):
        part(made)
    return made
