"""What may be kept about people: applied before anything is written."""
