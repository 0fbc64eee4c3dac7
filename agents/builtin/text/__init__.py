"""Text of documents: its sentences, and how it reads without its markup. Pure."""
