"""Choosing for money: prompts have prices, and a budget is what they may cost together."""
