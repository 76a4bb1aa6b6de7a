"""The training engine: the objective, the one loop, the machine, the processes."""
