"""The command line: one module per verb, each light to import."""
