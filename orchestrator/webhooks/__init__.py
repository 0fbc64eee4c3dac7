"""Calls a task's `webhook_url` when the task has ended."""
