"""Label assignment: which anchor points answer for which object."""
