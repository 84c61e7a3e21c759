"""Side by side against the peers; each script prints what it measured."""
