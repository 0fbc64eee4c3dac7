"""What runs agents: their port, what they may do, and its bounds."""
