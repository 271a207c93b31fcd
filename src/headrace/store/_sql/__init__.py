"""Metadata in SQL: one file per aggregate. Private to the store."""
