"""How good a model is: lm-eval's tasks on our engine, and win rates."""
