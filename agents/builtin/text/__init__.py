"""Text of documents: its blocks and sentences, and how it reads without its markup. Pure."""
