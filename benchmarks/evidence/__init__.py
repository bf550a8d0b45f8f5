"""Do the three methods do what their papers say? Small experiments with this project's own networks."""
