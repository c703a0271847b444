"""RetLLM retrieval: a coarse pool from embeddings, fine scores from a multimodal language model, every step an event."""
