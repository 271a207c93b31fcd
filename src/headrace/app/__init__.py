"""The composition root: settings become an App; durable jobs; reactions. Names the concrete classes."""
