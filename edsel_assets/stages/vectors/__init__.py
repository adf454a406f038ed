"""What is made from embeddings alone: those given in a file, how they lie, how picks lie, whom they serve.

Not here: how embeddings are computed (``stages.signals``), and rankings (``stages.rankings``).
"""
