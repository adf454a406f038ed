"""What a model says of texts: embeddings, decoding statistics, answers, likelihoods. Nothing is trained."""
