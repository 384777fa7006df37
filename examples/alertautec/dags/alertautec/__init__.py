"""What the DAGs of AlertaUTEC have in common."""
