"""Detection judged as a camera sees it: accuracy and latency together (Li, Wang, Ramanan, ECCV 2020)."""
