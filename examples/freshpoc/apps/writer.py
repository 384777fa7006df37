"""Writer: brings the graph of each commit into the database, in the place of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freshpoc_bus import GRAPHS, Bus
from freshpoc_graph import transaction
from freshpoc_service import serve
from psycopg2.extensions import cursor
from psycopg2.extras import execute_values

bus = Bus("writer")


def write(database: cursor, graph: Mapping[str, Any]) -> None:
    """Write one graph. To write it again changes nothing."""
    repo, nodes = graph["repo"], graph["nodes"]
    database.execute(
        "INSERT INTO repository (url, commit) VALUES (%s, %s) "
        "ON CONFLICT (url) DO UPDATE SET commit = excluded.commit, written_at = now()",
        (repo, graph["commit"]),
    )
    database.execute("DELETE FROM node WHERE repository = %s", (repo,))
    execute_values(
        database,
        "INSERT INTO node (repository, name, kind, path, lines, layer) VALUES %s",
        [(repo, node["name"], node["kind"], node["path"], node["lines"], node["layer"]) for node in nodes],
    )
    edges = [(repo, node["name"], other) for node in nodes for other in node["reads"]]
    if edges:
        execute_values(database, "INSERT INTO edge (repository, child, parent) VALUES %s", edges)


def apply(_: Mapping[str, str]) -> dict[str, int]:
    """Write all graphs that have come, the newest of a repository last."""
    events = bus.events(GRAPHS)
    if events:
        with transaction() as database:
            for _id, graph in events:
                write(database, graph)
    bus.finish(GRAPHS, [name for name, _ in events])
    return {"graphs": len(events)}


if __name__ == "__main__":
    serve({"/apply": apply})
