"""How good answers are: judges over an endpoint or local, reward models, Deita's scorers."""
