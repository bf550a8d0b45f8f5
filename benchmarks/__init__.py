"""Claims about speed, and the programs that repeat them."""
