"""The nouns: frozen types, ids, clock, errors, settings and ports. Pure: standard library only, no I/O."""
