"""k-means, sampling inside clusters, and how well a clustering separates."""
