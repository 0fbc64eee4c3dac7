"""Odd requests through every door of a running deployment: none may end in a defect."""
