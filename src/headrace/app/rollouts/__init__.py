"""From an approved release to the live one, and back: delivery, fallback, recommendation."""
