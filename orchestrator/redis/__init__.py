"""A client of Redis and Redis Cluster, made for pipelined scripts; it knows nothing of tasks."""
