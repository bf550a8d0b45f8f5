"""What to run: frozen, self-checking configuration sections and how they are loaded from YAML."""
