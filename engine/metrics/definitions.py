"""One sentence for every figure of ``atomscope evaluate``: they travel with the JSON, so that nobody has to guess."""

DEFINITIONS = {
    "fvu": "sum ||x - x_hat||^2 / sum ||x - mean||^2 over the measured tokens, mean over the same tokens (centred NMSE)",
    "explained_variance": "1 - fvu: predicting the mean scores 0",
    "explained_variance_uncentred": "1 - sum ||x - x_hat||^2 / sum ||x||^2: predicting zero scores 0",
    "l0_mean": "mean number of active atoms a token",
    "l0_quantiles": "quantiles of the number of active atoms a token, inverse of the empirical distribution",
    "l0_histogram": "tokens by number of active atoms, in bins that double",
    "dead": "atoms that fired on none of the measured tokens",
    "dense": "atoms that fired on more than 10% of the measured tokens",
    "ledger_gap": "largest |base + contributions of all active atoms + error - x| of the first 64 tokens, as a share of the "
    "largest |x|",
    "label_entropy": "entropy in bits of the labels of an atom's 16 top items, weighted by activation; mean over atoms",
    "monosemanticity": "activation-weighted mean pairwise cosine of the image embeddings of an atom's items; mean over atoms",
    "fidelity": "classification with activations replaced at the SAE's layer: original, spliced (the SAE's reconstruction of "
    "all kept positions), zero, mean (the mean token of the measured items); accuracy, top-5 accuracy and cross-entropy in "
    "nats; recovered = (spliced - zero) / (original - zero), recovered_from_mean the same against mean",
    "topn": "accuracy when every token is reconstructed from the top n atoms of the item's true class only (on) or from all "
    "others (off); atoms of a class ranked on the training split by the number of tokens with activation > threshold",
    "stability": "Hungarian matching of decoder directions with another run of the same architecture: mean cosine of the "
    "matched pairs, and share of pairs above 0.7; mean over the runs",
}
