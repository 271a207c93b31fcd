"""What a candidate must pass before it is a release, and trials against real traffic."""
