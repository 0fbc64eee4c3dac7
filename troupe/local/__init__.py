"""One machine: starts the real servers and Troupe's processes, and keeps them running."""
