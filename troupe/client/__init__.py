"""The Python SDK: tasks as typed, reconnecting streams."""
