"""How a worker has steps executed: by calls to agent servers, or in its own process."""
