"""How each real server is started from what the machine has or from its wheel."""
