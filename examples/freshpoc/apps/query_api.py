"""Query API: what people and reports ask of the graph, by a role that may only read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freshpoc_graph import transaction
from freshpoc_service import RefusedError, serve

UPSTREAM = """
WITH RECURSIVE upstream (name) AS (
    SELECT parent FROM edge WHERE repository = %(repo)s AND child = %(name)s
    UNION SELECT edge.parent FROM edge JOIN upstream ON edge.child = upstream.name WHERE repository = %(repo)s
)
SELECT name FROM upstream ORDER BY name
"""


def _rows(statement: str, **values: str) -> list[Any]:
    with transaction() as database:
        database.execute(statement, values)
        return list(database.fetchall())


def repositories(_: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the repositories, each with its commit."""
    return [{"repo": url, "commit": commit} for url, commit in _rows("SELECT url, commit FROM repository ORDER BY url")]


def nodes(query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the models and seeds of `repo`, and what each reads."""
    statement = (
        "SELECT name, kind, lines, layer, ARRAY(SELECT parent FROM edge WHERE repository = node.repository "
        "AND child = node.name ORDER BY parent) FROM node WHERE repository = %(repo)s ORDER BY layer, name"
    )
    names = ("name", "kind", "lines", "layer", "reads")
    return [dict(zip(names, row, strict=True)) for row in _rows(statement, repo=query.get("repo", ""))]


def upstream(query: Mapping[str, str]) -> list[str]:
    """Return all that `name` of `repo` is made of, near and far."""
    if not query.get("repo") or not query.get("name"):
        raise RefusedError("repo and name have to be given")
    return [name for (name,) in _rows(UPSTREAM, repo=query["repo"], name=query["name"])]


if __name__ == "__main__":
    serve({"/repositories": repositories, "/nodes": nodes, "/upstream": upstream})
