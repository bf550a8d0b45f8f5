"""What is computed: the networks and their norms, in plain torch."""
