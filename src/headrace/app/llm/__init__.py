"""Prompts from their gates to daily use: the gateway put together, batches, budgets, traces, drafts."""
