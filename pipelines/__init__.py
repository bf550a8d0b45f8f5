"""How one model is spread over IPUs and over time: cost, partition, schedule, plan. Runs nothing."""
