"""Long-term memory: documents are parsed, split, embedded and kept in Milvus, and their passages found again."""
