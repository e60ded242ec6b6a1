"""A counted campaign of faults: each case ends in the right boxes, or in a clear error of ours."""
