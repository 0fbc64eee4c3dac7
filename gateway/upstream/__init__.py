"""Connections to the servers behind the gateway."""
