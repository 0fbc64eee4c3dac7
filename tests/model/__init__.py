"""The state machine of tasks, written a second time: what the engine's script is compared with.

It is no part of the engine. `test_machine.py` drives it and the script with the same random operations.
"""
