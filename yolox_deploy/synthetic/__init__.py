"""Generated pictures and sequences with exact boxes: scenes to train on, streams with known truth."""
