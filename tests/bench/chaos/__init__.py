"""Chaos: many tasks on real processes that are killed, paused and cut off, and what must hold all the same."""
