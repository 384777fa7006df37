"""Fixtures of the tests of examples/alertautec: Amazon's services as moto serves them, and DAGs that are deployed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import PROJECT, Site

README = PROJECT / "examples" / "alertautec" / "README.md"
DAGS = ("incident_classifier", "metrics_analyzer", "notification_dispatcher", "reminder_sender", "report_generator")

Client = Callable[[str], Any]


@pytest.fixture(scope="session")
def airflow(site: Site) -> Airflow:
    """The API, as the first administrator."""
    return site.airflow()


@pytest.fixture(scope="session")
def hosts(site: Site) -> dict[str, Any]:
    """The hosts by name, as root."""
    return {name: testinfra.get_host(site.connection(name)) for name in site.hosts}


@pytest.fixture(scope="session")
def services(site: Site) -> str:
    """The URL of Amazon's services, as the controller reaches them."""
    return f"https://{site.address('services-1')}"


@pytest.fixture(scope="session")
def aws(services: str) -> Client:
    """A client of one of them. Login and authority are in the environment, as for the controller's own commands."""

    def client(name: str) -> Any:
        return boto3.client(name, region_name="us-east-1", endpoint_url=services)

    return client


@pytest.fixture(scope="session")
def incidents(services: str) -> Any:
    """The table of the incidents."""
    return boto3.resource("dynamodb", region_name="us-east-1", endpoint_url=services).Table("Incidents")


@pytest.fixture
def mails(site: Site, services: str) -> Callable[[], list[dict[str, Any]]]:
    """The mails that have been sent."""

    def sent() -> list[dict[str, Any]]:
        session = requests.Session()
        session.trust_env = False
        answer = session.get(
            f"{services}/moto-api/data.json", verify=str(site.directory / "company-ca.crt"), timeout=60
        )
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["ses"]["Message"]
        return found

    return sent


@pytest.fixture(scope="session")
def readme() -> Callable[[str], list[str]]:
    """The arguments of the one command of the README that has a part."""
    lines = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]

    def command(part: str) -> list[str]:
        (line,) = [line for line in lines if part in line]
        return shlex.split(line)

    return command


@pytest.fixture(scope="session")
def deploy(site: Site, readme: Callable[[str], list[str]]) -> Callable[[str], None]:
    """Run the README's command that deploys DAGs, with another directory of them."""

    def run(directory: str) -> None:
        program, *arguments, last = readme("playbooks/deploy_dags.yml")
        assert (program, last) == ("play", "dags_source=examples/alertautec/dags")
        result = site.command("ansible-playbook", *arguments, f"dags_source={directory}")
        assert result.returncode == 0, result.stdout[-6000:] + result.stderr

    return run


@pytest.fixture(scope="session")
def deployed(
    airflow: Airflow, deploy: Callable[[str], None], readme: Callable[[str], list[str]], hosts: dict[str, Any]
) -> Airflow:
    """Airflow with the example's DAGs, which run by their schedules from now on."""
    deploy("examples/alertautec/dags")
    for name in DAGS:
        airflow.wait_for_dag(name)
    hosts["control-2"].check_output(shlex.join(readme("airflow dags unpause")[1:]))
    paused = {dag["dag_id"]: dag["is_paused"] for dag in airflow.request("GET", "/api/v2/dags")["dags"]}
    assert {name: paused[name] for name in DAGS} == dict.fromkeys(DAGS, False)
    return airflow


@pytest.fixture(scope="session")
def notices(aws: Client) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What people have been told so far: a queue that has subscribed to the three topics, as a mailbox would."""
    queues, topics = aws("sqs"), aws("sns")
    url = queues.create_queue(QueueName="people")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for priority in ("High", "Medium", "Low"):
        topic = topics.create_topic(Name=f"AlertaUTEC-{priority}Priority")["TopicArn"]
        topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    got: list[dict[str, Any]] = []

    def told() -> list[dict[str, Any]]:
        while found := queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                body = json.loads(message["Body"])
                got.append({"topic": body["TopicArn"], "subject": body["Subject"], **json.loads(body["Message"])})
                queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return got

    yield told
    queues.delete_queue(QueueUrl=url)


@pytest.fixture(scope="session")
def run(deployed: Airflow) -> Callable[[str], str]:
    """Start a run of a DAG, and see it end well; return its id."""

    def started(name: str) -> str:
        run_id = deployed.start_new(name)
        state = deployed.wait(name, run_id, 240)
        logs = [deployed.log(name, run_id, task) for task in deployed.tasks(name, run_id)] if state != "success" else []
        assert state == "success", logs
        return run_id

    return started
