"""Models that were made or answer elsewhere, taken in."""
