"""How it is doing: the record in tables, windows, drift, performance with late labels, triggers."""
