"""Models that answer: on the server, in a table, in a caller's own process; and why they say what they do."""
