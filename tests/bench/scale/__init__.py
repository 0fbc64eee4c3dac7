"""What tasks cost when there are many, and what steps cost when a plan has many."""
