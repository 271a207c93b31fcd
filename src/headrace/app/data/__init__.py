"""Datasets and features: their catalogue, arrivals, splits, changes and doubtful rows."""
