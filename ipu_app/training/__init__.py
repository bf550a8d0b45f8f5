"""The run over time: trainer, curves, averaging, checkpoints, metrics and reports."""
