"""Hosts: processors, memory, disks, network, units and clocks."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from airstrip_dashboards.parts import INSTANCE, RATE, Look, Query, bars, board, instance, lines, resident, rows

DISKS = f'fstype!~"tmpfs|ramfs", {INSTANCE}'
CARDS = f'device!~"lo|veth.*|docker.*|br-.*", {INSTANCE}'


def _processors(made: Dashboard) -> None:
    """Add processors and memory."""
    made.with_row(Row("Processors and memory"))
    made.with_panel(
        lines(
            "Busy processors",
            "Which host has no processor left?",
            Look(unit="percentunit", most=1),
            Query(
                f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle", {INSTANCE}}}[{RATE}]))',
                "{{instance}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Load by core",
            "How many processes want a core, for each that there is? Above 1 they wait.",
            Look(),
            Query(
                f"max by (instance) (node_load5{{{INSTANCE}}}) / "
                f'count by (instance) (node_cpu_seconds_total{{mode="idle", {INSTANCE}}})',
                "{{instance}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Processors by mode",
            "Is it work, the kernel, waiting for disks, or another VM (steal)?",
            Look(stacked=True),
            Query(f'sum by (mode) (rate(node_cpu_seconds_total{{mode!="idle", {INSTANCE}}}[{RATE}]))', "{{mode}}"),
        )
    )
    made.with_panel(
        lines(
            "Memory in use",
            "Which host has no memory left?",
            Look(unit="percentunit", most=1),
            Query(
                f"1 - node_memory_MemAvailable_bytes{{{INSTANCE}}} / node_memory_MemTotal_bytes{{{INSTANCE}}}",
                "{{instance}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Swap in use",
            "Does a host put memory on its disk?",
            Look(unit="bytes"),
            Query(
                f"node_memory_SwapTotal_bytes{{{INSTANCE}}} - node_memory_SwapFree_bytes{{{INSTANCE}}}", "{{instance}}"
            ),
        )
    )
    made.with_panel(
        lines(
            "Processes killed for want of memory, per hour",
            "Did the kernel have to choose one?",
            Look(),
            Query(f"3600 * sum by (instance) (rate(node_vmstat_oom_kill{{{INSTANCE}}}[{RATE}]))", "{{instance}}"),
        )
    )


def _units(made: Dashboard) -> None:
    """Add units."""
    made.with_row(Row("Units"))
    made.with_panel(
        lines(
            "Processors by unit",
            "Which unit has the processors?",
            Look(stacked=True),
            Query(
                f"topk(10, sum by (groupname) (rate(namedprocess_namegroup_cpu_seconds_total{{{INSTANCE}}}[{RATE}])))",
                "{{groupname}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Memory by unit",
            "Which unit has the memory?",
            Look(unit="bytes", stacked=True),
            Query(f"topk(10, sum by (groupname) ({resident(INSTANCE)}))", "{{groupname}}"),
        )
    )
    made.with_panel(
        lines(
            "Units that failed",
            "Which host has units that failed?",
            Look(),
            Query(f'sum by (instance) (node_systemd_unit_state{{state="failed", {INSTANCE}}})', "{{instance}}"),
        )
    )


def _disks(made: Dashboard) -> None:
    """Add disks and network."""
    made.with_row(Row("Disks and network"))
    made.with_panel(
        bars(
            "Disks",
            "Which disk is full?",
            Look(unit="percentunit", most=1),
            Query(
                f"max by (instance, mountpoint) (1 - node_filesystem_avail_bytes{{{DISKS}}} / "
                f"node_filesystem_size_bytes{{{DISKS}}})",
                "{{instance}} {{mountpoint}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Space left in a day",
            "If it goes on as in the last six hours, what is left tomorrow? Below 0 the disk ends within a day.",
            Look(unit="bytes"),
            Query(
                f"min by (instance, mountpoint) (predict_linear(node_filesystem_avail_bytes{{{DISKS}}}[6h], 86400))",
                "{{instance}} {{mountpoint}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Busy disks",
            "Does a disk do something all the time?",
            Look(unit="percentunit", most=1),
            Query(
                f"max by (instance, device) (rate(node_disk_io_time_seconds_total{{{INSTANCE}}}[{RATE}]))",
                "{{instance}} {{device}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Read and written",
            "How much goes to and from the disks?",
            Look(unit="Bps"),
            Query(f"sum by (instance) (rate(node_disk_read_bytes_total{{{INSTANCE}}}[{RATE}]))", "{{instance}}: read"),
            Query(
                f"sum by (instance) (rate(node_disk_written_bytes_total{{{INSTANCE}}}[{RATE}]))",
                "{{instance}}: written",
            ),
        )
    )
    made.with_panel(
        lines(
            "Received and sent",
            "How much goes over the network?",
            Look(unit="Bps"),
            Query(
                f"sum by (instance) (rate(node_network_receive_bytes_total{{{CARDS}}}[{RATE}]))",
                "{{instance}}: received",
            ),
            Query(
                f"sum by (instance) (rate(node_network_transmit_bytes_total{{{CARDS}}}[{RATE}]))", "{{instance}}: sent"
            ),
        )
    )
    made.with_panel(
        lines(
            "Lost packets",
            "Does the network lose something?",
            Look(unit="pps"),
            Query(
                f"sum by (instance) (rate(node_network_receive_drop_total{{{CARDS}}}[{RATE}]) + "
                f"rate(node_network_receive_errs_total{{{CARDS}}}[{RATE}]))",
                "{{instance}}: received",
            ),
            Query(
                f"sum by (instance) (rate(node_network_transmit_drop_total{{{CARDS}}}[{RATE}]) + "
                f"rate(node_network_transmit_errs_total{{{CARDS}}}[{RATE}]))",
                "{{instance}}: sent",
            ),
        )
    )


def _others(made: Dashboard) -> None:
    """Add clocks and what each host says of itself."""
    made.with_row(Row("Hosts"))
    made.with_panel(
        lines(
            "Clock",
            "Is the clock kept right? 1 is yes.",
            Look(most=1),
            Query(f"max by (instance) (node_timex_sync_status{{{INSTANCE}}})", "{{instance}}"),
        )
    )
    made.with_panel(
        lines(
            "Offset of the clock",
            "How far is it from where it should be?",
            Look(unit="s"),
            Query(f"abs(max by (instance) (node_timex_offset_seconds{{{INSTANCE}}}))", "{{instance}}"),
        )
    )
    made.with_panel(
        rows(
            "All hosts",
            "What is each host, and since when is it up?",
            Look(columns=("instance",)),
            Query(f'count by (instance) (node_cpu_seconds_total{{mode="idle", {INSTANCE}}})', "cores"),
            Query(f"max by (instance) (node_memory_MemTotal_bytes{{{INSTANCE}}}) / 2^30", "memory in GiB"),
            Query(f"max by (instance) (time() - node_boot_time_seconds{{{INSTANCE}}}) / 86400", "days up"),
            Query(f"max by (instance) (airstrip_host_drained{{{INSTANCE}}})", "drained"),
        )
    )


def build() -> Dashboard:
    """Return the dashboard."""
    made = board("hosts", "Hosts", "What does a host lack, and which unit has it?", instance("node_boot_time_seconds"))
    for part in (_processors, _units, _disks, _others):
        part(made)
    return made
