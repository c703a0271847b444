"""Stage 8, names for all atoms and all clusters of the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.naming.names import name_atoms, name_clusters
from engine.atlas.build.naming.scores import RankedNames
from engine.atlas.build.naming.texts import exemplar_terms, prefer_one_word
from engine.atlas.build.naming.words import collect_terms
from engine.atlas.format.texts import snippets_of
from engine.atlas.format.writer import Exemplars

if TYPE_CHECKING:
    from engine.activations import ActivationStore


@dataclass(frozen=True)
class AtlasNames:
    """What atoms and clusters are called.

    Attributes
    ----------
    atoms : RankedNames
        M of them.
    clusters : RankedNames
        One for each cluster of the map.
    """

    atoms: RankedNames
    clusters: RankedNames


def name_all(exemplars: Exemplars, store: ActivationStore, cluster: NDArray[np.int32]) -> AtlasNames:
    """Names from captions, keywords and labels of the items; in an atlas of texts from the words around the tokens.

    Parameters
    ----------
    cluster : int32 [M]
        Cluster of every atom, -1 for none; numbered from the largest.
    """
    items, n_atoms = store.items, len(cluster)
    if (starts := store.token_starts) is not None:
        snippets = snippets_of(items, starts, store.backbone)
        terms = exemplar_terms(exemplars, snippets)
        atoms, share = name_atoms(exemplars, terms, n_atoms, np.arange(len(exemplars.atom)))
        prefer_one_word(atoms, exemplars, snippets)
    else:
        terms = collect_terms(items["caption"].tolist(), items["keywords"].tolist(), items["label"].tolist())
        atoms, share = name_atoms(exemplars, terms, n_atoms)
    return AtlasNames(atoms, name_clusters(cluster, share, terms.names))
