"""Models that answer: on the server, later, in a table, in a caller's own process; and why they say so."""
