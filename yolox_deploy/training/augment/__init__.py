"""Pictures varied for training: mosaic, mixing, geometry and colour."""
