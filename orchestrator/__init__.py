"""Tasks: the API, planning, the durable state and the worker that executes steps."""
