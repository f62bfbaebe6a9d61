"""The command `clxai`: one module per subcommand, each with its words, its arguments and what it runs."""
