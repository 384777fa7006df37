"""What the DAGs of several teams import."""

WORD = "of a shared module"
