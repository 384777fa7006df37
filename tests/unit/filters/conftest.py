"""Hypothesis settings of the filter tests: no deadline, as the machine that runs them may be busy."""

from hypothesis import settings

settings.register_profile("filters", deadline=None, max_examples=60)
settings.load_profile("filters")
