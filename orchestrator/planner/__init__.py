"""Planning: a request becomes a graph of steps, while the caller waits."""
