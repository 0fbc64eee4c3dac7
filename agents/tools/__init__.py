"""Tools: what agents may call besides models."""
