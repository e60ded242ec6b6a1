"""The machine that a benchmark ran on: processor, GPU, versions, and what it reaches at best."""
