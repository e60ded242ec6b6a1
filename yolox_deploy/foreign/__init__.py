"""What model files of others mean: their conventions, told from the files themselves."""
