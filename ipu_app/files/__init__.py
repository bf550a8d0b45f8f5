"""Formats of files from elsewhere that need more than the standard library; see ``pipelines/door.py``."""
