"""From the authors' Exp files to our settings and commands."""
