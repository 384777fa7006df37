"""The measure `install`: a fresh host to a DAG run that succeeds, by site.yml and by an expert's shell script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import bench_lab
import bench_play
import bench_site
import yaml
from bench_lab import Lab
from bench_play import PROJECT, Timing, say
from bench_result import Result, pairs

_SCRIPT = Path(__file__).with_name("reference_install.sh")
_ROLE = PROJECT / "roles" / "airflow_release"


def given() -> dict[str, str]:
    """Return the files that the script reads: what the role installs by default on Debian 13, and from which lock."""
    defaults = yaml.safe_load((_ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    site = yaml.safe_load((PROJECT / "registry" / "site.yml").read_text(encoding="utf-8"))
    version, extras = str(site["site_airflow_version"]["default"]), sorted(defaults["airflow_release_extras"])
    locks = _ROLE / "files" / "locks" / version
    metadata = json.loads((locks / "metadata.json").read_text(encoding="utf-8"))
    providers = [metadata["providers"][extra] for extra in extras if extra in metadata["providers"]]
    names = [f"apache-airflow[{','.join(extras)}]=={version}", f"apache-airflow-core[gunicorn]=={version}", *providers]
    return {
        "requirements.in": "".join(f"{name}\n" for name in names),
        "constraints.txt": (locks / "py3.13.txt").read_text(encoding="utf-8"),
        "uv.txt": (_ROLE / "files" / "uv.txt").read_text(encoding="utf-8"),
    }


def steps(output: str) -> dict[str, int]:
    """Return after how many seconds each step of the script had ended."""
    return {name: int(seconds) for seconds, name in re.findall(r"^ *(\d+) s  (.+)$", output, re.MULTILINE)}


def reference(lab: Lab) -> Timing:
    """Install by the script, on a fresh host."""
    lab.boot({"reference": ()})
    lab.trust("reference")
    lab.put("reference", "/root/given", given())
    lab.put("reference", "/root", {_SCRIPT.name: _SCRIPT.read_text(encoding="utf-8")}, mode=0o755)
    container = lab.container("reference")
    command = ["docker", "exec", container, f"/root/{_SCRIPT.name}", "/root/given"]
    timing = bench_play.timed(command, lab.log("reference"))
    say(f"{_SCRIPT.name}: {timing.seconds:.1f} s")
    return timing


def ours(lab: Lab) -> Timing:
    """Install by site.yml, which ends with its smoke test, on a fresh host."""
    return bench_site.provide(lab, "single_node").converge()


def measure(runs: int) -> Iterator[Result]:
    """Install each on hosts of its own in turn: nothing is cached."""
    mine: list[Timing] = []
    others: list[Timing] = []
    for _ in range(runs):
        with bench_lab.lab("install") as lab:
            others.append(reference(lab))
        with bench_lab.lab("install") as lab:
            mine.append(ours(lab))
    details = {
        "ours_seconds": median(timing.seconds for timing in mine),
        "reference_seconds": median(timing.seconds for timing in others),
        "reference_steps_ended_at": steps(others[-1].output),
    }
    seconds = [[timing.seconds for timing in each] for each in (mine, others)]
    yield Result("install", pairs(seconds[0], seconds[1], "reference"), details)
