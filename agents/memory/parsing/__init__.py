"""Parsers: bytes to text with its structure. Pure, and run in a process of their own."""
