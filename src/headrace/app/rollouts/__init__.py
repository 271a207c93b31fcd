"""From an approved release to the live one, and back: delivery, A/B tests, fallback, recommendation."""
