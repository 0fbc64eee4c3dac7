"""The built-in agents: retriever, analyzer and writer."""
