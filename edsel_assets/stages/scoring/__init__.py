"""How good prompts and answers are: scores by model, judge or column, kept by content."""
