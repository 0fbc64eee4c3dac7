"""The durable state of tasks in Redis. Every change is one Lua script on the slot of the task's partition."""
