"""EfficientNet on IPUs: the training application (models, data, runtimes, trainer, command line)."""
