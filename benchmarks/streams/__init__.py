"""Measuring detectors on streams: which model and policy is best at a frame rate."""
