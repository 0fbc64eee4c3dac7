"""Composes the report of the findings."""
