"""What a candidate must pass before it is a release: gates, proofs, rehearsal, load; traffic played again."""
