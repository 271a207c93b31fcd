"""Pages for people: one file per page, templates beside them. Everything shown is read through ``app``."""
