"""Finetuning: settings, examples as tokens, the training loop, checkpoints, several processes."""
