"""How a candidate goes live: manifest, gates, approvals, rollout and rollback."""
