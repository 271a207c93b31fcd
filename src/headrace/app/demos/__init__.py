"""What ``headrace demo`` shows: the whole loop, through the public doors only."""
