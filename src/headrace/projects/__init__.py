"""What was promised: the charter in ``headrace.yaml``, templates that write one, the flight check."""
