"""An analytical model of what an IPU takes for a training step: cycles and bytes. Standard library only."""
