#!/usr/bin/python
"""Module: how a host is, as it sees itself."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.airstrip.core.plugins.module_utils.host_status import AnswerError, Record, gather, read

DOCUMENTATION = r"""
module: host_status
short_description: How a host is, as it sees itself
description:
  - Tells the units of what is placed on a host, the release that their processes run, certificates, file systems, ports
    and URLs that answer, servers of its load balancer, its clock, and whether it is drained. It changes nothing.
  - It is the same code as the command C(airstrip-status) on the hosts. What is wrong with a host follows from the
    facts by the filter P(airflow_status#filter).
  - Fails if systemd does not answer, or if O(record) is not what the site's model makes.
author: Airstrip
options:
  record:
    description: What is placed on the host, as in C(site.hosts[inventory_hostname].status).
    type: dict
    required: true
  timeout: {description: Seconds to wait for all answers together., type: int, default: 5}
attributes:
  check_mode: {support: full}
"""

EXAMPLES = r"""
- name: Gather the facts of the status
  host_status:
    record: "{{ site.hosts[inventory_hostname].status }}"
  register: web_status
"""

RETURN = r"""
facts:
  description:
    - C(units), each with C(unit), C(active), C(sub), C(result), C(enabled), C(restarts), C(age), C(since), C(release);
      C(certificates) with C(part), C(name), C(ends); C(disks) with C(path), C(free) in percent; C(mounts) that are not
      as they should be, with C(path), C(state); C(answers) of ports and URLs with C(part), C(what), C(seconds),
      C(error); C(servers) of HAProxy with C(backend), C(server), C(status), C(check).
    - C(now), the host's clock; C(current), the release that is installed; C(drained) with C(since) and C(reason), or
      null; C(synchronized), null where nobody is to keep the clock; C(hidden), what could not be seen.
  type: dict
  returned: success
"""


def main() -> None:
    """Run the module."""
    options: dict[str, Any] = {
        "record": {"type": "dict", "required": True},
        "timeout": {"type": "int", "default": 5},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    try:
        facts = gather(read(Record, module.params["record"], "record"), module.params["timeout"])
    except (AnswerError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, facts=dataclasses.asdict(facts))


if __name__ == "__main__":
    main()
