"""What this service answers: AgentService and MemoryService."""
