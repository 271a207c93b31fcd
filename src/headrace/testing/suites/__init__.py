"""One conformance suite per port: inherit the class, give it the fixtures it names, and run pytest."""
