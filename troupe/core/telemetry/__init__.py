"""What processes say about themselves: metrics, their admin port, traces."""
