"""Live inspection: encode a picture, splice activations back into the model, account for the reconstruction of a token."""
