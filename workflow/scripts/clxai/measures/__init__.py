"""From recorded curves to numbers, tables and self-checks."""
