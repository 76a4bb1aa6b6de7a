"""The training engine: the objective, the training loop, checkpoints, and the processes that train."""
