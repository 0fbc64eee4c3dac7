"""Orchestration's own cost, beside what people would use instead."""
