"""Agents: the built-in ones, their tools and the memory."""
