"""Runs a recorded graph as the device does: numerics, random values, weights, optimizers, collectives."""
