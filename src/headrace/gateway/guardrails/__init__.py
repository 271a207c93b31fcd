"""What may pass between callers, models and tools: rules decide, a classifier advises."""
