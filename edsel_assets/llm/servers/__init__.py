"""HTTP servers that are asked for embeddings and replies: bounded requests, and when one is repeated."""
