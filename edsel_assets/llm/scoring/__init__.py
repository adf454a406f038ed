"""How good a model is: lm-eval's tasks on our engine or another, and HumanEval in a sandbox."""
