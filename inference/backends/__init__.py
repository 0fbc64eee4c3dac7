"""What serves models, behind one port."""
