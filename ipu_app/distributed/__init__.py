"""Who takes part: the world of processes, their collectives and how they are launched."""
