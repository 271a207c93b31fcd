"""Pages and the JSON API: thin handlers, one file per noun, in front of ``headrace.app``."""
