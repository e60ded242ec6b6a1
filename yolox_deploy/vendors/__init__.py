"""What converters and runtimes share about a vendor's hardware and libraries."""
