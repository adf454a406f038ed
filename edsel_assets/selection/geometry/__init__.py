"""How embeddings lie: the transform that takes them out of a cone, their figures, picks against chance."""
