"""The texts that ``headrace init`` renders."""
