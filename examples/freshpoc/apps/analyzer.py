"""Analyzer: makes a graph of the models and seeds of a commit, looks whether it can be, and publishes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from freshpoc_bus import GRAPHS, MODELS, Bus
from freshpoc_service import RefusedError, serve

bus = Bus("analyzer")


def layers(reads: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return how far each name is from what reads nothing: 0 for that, else one more than the farthest that it reads.

    Raises RefusedError for a circle, and for something that reads what there is not.
    """
    for name, others in reads.items():
        if missing := sorted(set(others) - set(reads)):
            raise RefusedError(f"{name} reads {', '.join(missing)}, which there is not")
    found: dict[str, int] = {}
    try:
        for name in TopologicalSorter(reads).static_order():
            found[name] = max((found[other] + 1 for other in reads[name]), default=0)
    except CycleError as error:
        raise RefusedError(f"a circle: {' -> '.join(error.args[1])}") from error
    return found


def graph(models: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the graph of one commit."""
    nodes: dict[str, Mapping[str, Any]] = {model["name"]: model for model in models}
    layer = layers({name: model["reads"] for name, model in nodes.items()})
    first = next(iter(nodes.values()))
    return {
        "repo": first["repo"],
        "commit": first["commit"],
        "nodes": [
            {**{key: model[key] for key in ("name", "kind", "path", "lines", "reads")}, "layer": layer[name]}
            for name, model in sorted(nodes.items())
        ],
    }


def run(_: Mapping[str, str]) -> dict[str, int]:
    """Make the graphs of what was mined. What is refused stays, until the same repository comes again."""
    events = bus.events(MODELS)
    newest = {event["repo"]: event["commit"] for _, event in events}
    made, refused = dict[str, dict[str, Any]](), dict[str, str]()
    for repo, commit in newest.items():
        try:
            made[repo] = graph(event for _, event in events if (event["repo"], event["commit"]) == (repo, commit))
        except RefusedError as error:
            refused[repo] = f"{repo}: {error}"
    # An older commit of a repository is done with when a newer one has come.
    done = [name for name, event in events if event["repo"] in made or event["commit"] != newest[event["repo"]]]
    bus.finish(MODELS, done, GRAPHS, made.values())
    if refused:
        raise RefusedError("; ".join(refused.values()))
    return {"graphs": len(made), "nodes": sum(len(each["nodes"]) for each in made.values())}


if __name__ == "__main__":
    serve({"/run": run})
