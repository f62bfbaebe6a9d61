"""What is planned: the config, checked; the code that each job depends on; documents written from both."""
