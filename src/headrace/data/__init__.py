"""What we learn from: sources, raw archive, snapshots, splits and features."""
