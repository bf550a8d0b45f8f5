"""Act one: what a run will be, worked out before anything is opened or compiled."""
