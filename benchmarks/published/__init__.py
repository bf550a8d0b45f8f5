"""What was published, and the planner's plans and estimates beside it."""
