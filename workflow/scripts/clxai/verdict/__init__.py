"""From tables to sentences: what a study found, what it did not find, and what it cannot say."""
