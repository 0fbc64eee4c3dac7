"""Text of documents, read alike by whoever quotes it: its blocks and the rows of its tables. Pure."""
