"""Records one forward pass as a graph, by PopTorch's rules, and refuses what it refuses."""
