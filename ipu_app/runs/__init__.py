"""Acts two and three: a settled run is carried out, and what it left is recorded and told."""
