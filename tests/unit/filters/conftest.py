"""Hypothesis settings of the filter tests: no deadline, as the machine that runs them may be busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("filters", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("filters")
