"""The rules of tasks as pure functions: no I/O, no stubs."""
