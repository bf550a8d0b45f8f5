"""The host's side of an executor: arguments of calls, checks, the wrapped model, files, queries."""
