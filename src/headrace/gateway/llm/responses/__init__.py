"""OpenAI's Responses API in terms of chat completions, as far as nothing has to be stored for it."""
