"""What pages and commands show: projects, releases, goals, what is deployed, who waits for what."""
