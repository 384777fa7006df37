"""What all dashboards have in common: one look, the variables, and the data source that the reader has chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, dashboard, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    TableFooterOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

TAG = "airflow"
WIDTH = 24
CHOSEN = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

# The interval that Grafana works out from its data source's scrape interval, and the time that the reader looks at.
RATE = "$__rate_interval"
RANGE = "$__range"

# Conditions that the variables make.
INSTANCE = 'instance=~"$instance"'
QUEUE = 'queue=~"$queue"'
DAG = 'dag_id=~"$dag"'

# Units of workers; of a site whose scheduler runs the tasks itself, that of the scheduler.
WORKER_UNITS = 'groupname=~"airflow-worker.*"'
SCHEDULER_UNIT = 'groupname="airflow-scheduler.service"'

P = TypeVar("P", timeseries.Panel, stat.Panel, bargauge.Panel, table.Panel)


@dataclass(frozen=True)
class Query:
    """An expression, and what the legend calls its series: `{{label}}` is a label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Look:
    """How a panel shows its numbers; the reader's question stands in its description."""

    unit: str = "short"
    width: int = 8
    height: int = 8
    stacked: bool = False
    # Values from which on a number is to be looked at, and is bad.
    warning: float | None = None
    bad: float | None = None
    most: float | None = None
    empty: str = ""
    columns: tuple[str, ...] = ()


def resident(condition: str) -> str:
    """
    Return the memory of units: as the kernel counts it, or else that of their processes.

    Of those, shared pages count by their share where the exporter reads it: a worker's forks have most in common.
    """
    series = "namedprocess_namegroup_memory_bytes"
    return (
        f"(airstrip_unit_memory_bytes{{{condition}}} or on (instance, groupname)"
        f' ({series}{{{condition}, memtype="proportionalResident"}} > 0)'
        f' or on (instance, groupname) {series}{{{condition}, memtype="resident"}})'
    )


def quantile(share: str, histogram: str, condition: str, by: str = "") -> str:
    """Return a quantile of a histogram, over all of its series or by labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{condition}}}[{RATE}])))"


def _dressed(panel: P, title: str, question: str, look: Look) -> P:
    """Give a panel what every panel has."""
    panel.title(title).description(question).datasource(CHOSEN).unit(look.unit).span(look.width).height(look.height)
    panel.no_value(look.empty or "no data")
    steps = [models.Threshold(value=None, color="green" if look.bad is not None else "text")]
    for value, color in ((look.warning, "orange"), (look.bad, "red")):
        if value is not None:
            steps.append(models.Threshold(value=value, color=color))
    panel.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    if look.most is not None:
        panel.max(look.most)
    return panel


def _target(query: Query, letter: int, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).ref_id(chr(ord("A") + letter)).datasource(CHOSEN)
    target.legend_format(query.legend or "__auto")
    return target.instant() if instant else target.range()


def lines(title: str, question: str, look: Look, *queries: Query) -> timeseries.Panel:
    """Return a panel of lines over time."""
    panel = _dressed(timeseries.Panel(), title, question, look).min(0)
    panel.line_width(1).fill_opacity(30 if look.stacked else 8).show_points(looks.VisibilityMode.AUTO)
    panel.span_nulls(False).tooltip(
        VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)
    )
    panel.legend(
        VizLegendOptions()
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    if look.stacked:
        panel.stacking(StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    for letter, query in enumerate(queries):
        panel.with_target(_target(query, letter))
    return panel


def number(title: str, question: str, look: Look, *queries: Query) -> stat.Panel:
    """Return a panel of a number as it is now; its background tells whether it is good."""
    panel = _dressed(stat.Panel(), title, question, look).graph_mode(looks.BigValueGraphMode.NONE)
    panel.color_mode(looks.BigValueColorMode.BACKGROUND if look.bad is not None else looks.BigValueColorMode.NONE)
    panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    for letter, query in enumerate(queries):
        panel.with_target(_target(query, letter, instant=True))
    return panel


def bars(title: str, question: str, look: Look, query: Query) -> bargauge.Panel:
    """Return a panel of bars, one for each series as it is now."""
    panel = _dressed(bargauge.Panel(), title, question, look).min(0)
    panel.orientation(looks.VizOrientation.HORIZONTAL).display_mode(looks.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    return panel.with_target(_target(query, 0, instant=True))


def rows(title: str, question: str, look: Look, *queries: Query) -> table.Panel:
    """Return a table: a line for each set of labels, with a column for each query, named by its legend."""
    panel = _dressed(table.Panel(), title, question, look)
    for letter, query in enumerate(queries):
        panel.with_target(_target(query, letter, instant=True).format(PromQueryFormat.TABLE))
    named = {
        f"Value #{chr(ord('A') + letter)}" if len(queries) > 1 else "Value": query.legend
        for letter, query in enumerate(queries)
    }
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True, "__name__": True, "job": True},
                "indexByName": {label: place for place, label in enumerate(look.columns)},
                "renameByName": named,
            },
        )
    )
    return panel.footer(TableFooterOptions().show(False).reducer(["sum"]).count_rows(False))


def words(title: str, markdown: str, height: int = 4, width: int = WIDTH) -> text.Panel:
    """Return a panel of text."""
    panel = text.Panel().title(title).description(title).mode(TextMode.MARKDOWN).content(markdown)
    return panel.height(height).span(width)


def _all_of(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable with the values of a label, all of which are chosen at first."""
    variable = dashboard.QueryVariable(name).label(label).query({"query": query, "refId": name}).datasource(CHOSEN)
    variable.multi(True).include_all(True).all_value(".*").refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable.current(models.VariableOption(selected=True, text="All", value="$__all"))


def instance(of: str) -> dashboard.QueryVariable:
    """Return the variable `instance`, with those instances that have a metric."""
    return _all_of("instance", "Host", f"label_values({of}, instance)")


def queue() -> dashboard.QueryVariable:
    """Return the variable `queue`."""
    return _all_of("queue", "Queue", "label_values(airflow_task_instances, queue)")


def dag() -> dashboard.QueryVariable:
    """Return the variable `dag`."""
    return _all_of("dag", "DAG", "label_values(airflow_dag_runs_finished_total, dag_id)")


def price(name: str, label: str, value: str) -> dashboard.TextBoxVariable:
    """Return a variable that the reader types a number into."""
    option = models.VariableOption(selected=True, text=value, value=value)
    return dashboard.TextBoxVariable(name).label(label).default_value(value).current(option).options([option])


def board(
    name: str,
    title: str,
    question: str,
    *variables: dashboard.QueryVariable | dashboard.TextBoxVariable,
    since: str = "now-6h",
) -> dashboard.Dashboard:
    """Return a dashboard without panels: its variables, links to the others, and marks for firing alerts."""
    made = dashboard.Dashboard(f"Airflow / {title}").uid(f"airstrip-{name}").description(question).tags([TAG])
    made.timezone("browser").time(since, "now").refresh("1m").tooltip(models.DashboardCursorSync.CROSSHAIR).readonly()
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for variable in variables:
        made.with_variable(variable)
    made.link(
        dashboard.DashboardLink("Airflow")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
    return made.annotation(
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(CHOSEN)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertstate="firing"}')
    )
