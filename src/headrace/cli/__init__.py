"""Thin commands, one file per noun: parse, call one function, print."""
