"""Cluster policies of the company: each DAG in a team's bundle is that team's own."""

from typing import Any

from airflow.exceptions import AirflowClusterPolicyViolation

TEAMS = ("team-a", "team-b", "team-c")


def dag_policy(dag: Any) -> None:
    for team in TEAMS:
        if f"/bundles/{team}/" in dag.fileloc and dag.owner != team:
            raise AirflowClusterPolicyViolation(
                f"{dag.dag_id} is in the bundle of {team}, and its owner is {dag.owner}"
            )
