"""What the agents share: passages, what models are asked about them, and how what they say is cited."""
