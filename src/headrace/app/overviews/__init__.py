"""What pages and commands show of projects, releases, goals and what waits."""
