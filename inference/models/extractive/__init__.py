"""Answers by selecting and ordering sentences of the sources in a prompt.

Imported inside Triton, where this project is not: plain Python and numpy.
"""
