"""How LLMs and tools answer."""
