"""3. Tensors to states and embeddings; torch only."""
