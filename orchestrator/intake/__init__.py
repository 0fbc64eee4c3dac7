"""Takes tasks in: checks, plans and stores what is submitted."""
