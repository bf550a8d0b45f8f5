"""Estimates from one POD to many."""
