"""The models and runs that a tracker has: registered, imported, asked for."""
