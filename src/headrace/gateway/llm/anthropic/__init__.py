"""Anthropic's Messages API in terms of chat completions, both ways: for its clients, and for its models."""
