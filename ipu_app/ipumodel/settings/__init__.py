"""What poptorch.Options is made of: groups of settings, files of settings, PopART's own keys."""
