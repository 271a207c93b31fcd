"""Datasets and features: their catalogue, arrivals, histories, doubtful rows, what can be used again."""
