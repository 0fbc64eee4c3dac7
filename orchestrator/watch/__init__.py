"""Follows tasks for their watchers: one reader of the partitions' news, many streams."""
