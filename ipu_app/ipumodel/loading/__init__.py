"""Loads batches: rows of a call, and worker processes that read ahead."""
