"""How models answer: one handler that knows no protocol, and adapters that know nothing else."""
