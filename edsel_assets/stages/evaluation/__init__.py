"""How a trial is evaluated beside lm-eval's own sums: scores by item, programs, answers and their judge."""
