"""The worker: takes ready steps, calls agents, records what they say."""
