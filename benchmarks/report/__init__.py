"""What a benchmark found: the record, its tables, texts, page and comparison."""
