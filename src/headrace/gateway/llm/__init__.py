"""The way of a call to an LLM: who asks, which release answers, which provider, and what it cost."""
