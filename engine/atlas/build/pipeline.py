"""``build_atlas``: from a trained SAE and an activation store to a concept atlas.

Each stage has a module of its own and returns a frozen result. What takes long is kept in a work folder beside the atlas until
all stages are done: the sample, the pass (with its own checkpoints), the neighbours, the map and the pictures. The same command
after a kill goes on where it stopped and ends with the same bytes; another SAE, store or option starts again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.atlas.build.accumulators import Accumulators
from engine.atlas.build.exemplars import choose_exemplars
from engine.atlas.build.header import describe
from engine.atlas.build.inputs import copy_saes, open_inputs
from engine.atlas.build.layout import lay_out
from engine.atlas.build.naming.stage import name_all
from engine.atlas.build.neighbours import find_neighbours
from engine.atlas.build.options import AtlasOptions
from engine.atlas.build.pass_plan import plan_pass
from engine.atlas.build.planes import NEIGHBOURS as NEAREST_FOR_MAP
from engine.atlas.build.sample import take_sample
from engine.atlas.build.statistics import measure_atoms, share_of_labels
from engine.atlas.build.tables import write_atoms_and_clusters, write_measured, write_tokens_and_items
from engine.atlas.build.thumbs import write_pictures
from engine.atlas.build.token_pass import run_token_pass
from engine.atlas.build.work_folder import begin, hold_work_folder, publish
from engine.atlas.format.meta import write_meta
from engine.files import explain_os_errors
from engine.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from engine.activations import ActivationStore


def build_atlas(
    sae_dir: Path,
    store: ActivationStore,
    out: Path,
    options: AtlasOptions | None = None,
    progress: Progress | None = None,
) -> Path:
    """Build the concept atlas of one SAE over one activation store.

    Parameters
    ----------
    sae_dir : Path
        Run folder of the SAE: ``config.json``, ``weights.safetensors`` and, if there is one, ``training.parquet``.
    store : ActivationStore
        Activations that the SAE reads.
    out : Path
        Folder of the atlas; an atlas that is there is replaced when the new one is whole.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    InputError
        If the SAE and the store do not fit, or ``out`` is something else than an atlas.
    AtomscopeError
        If the disk is full or the folder cannot be written.
    """
    options, progress = options or AtlasOptions(), progress or SilentProgress()
    inputs = open_inputs(sae_dir, store, out, options)
    sae, device, n_atoms = inputs.sae, inputs.device, inputs.sae.config.n_atoms

    with explain_os_errors(out), hold_work_folder(out) as work:
        created = begin(work, inputs.of_the_pass(), inputs.of_the_rest())
        folder = work / "atlas"

        sample = take_sample(sae, store, options.sample_items, device, work / "sample", progress)
        plan = plan_pass(sample.codes, store, n_atoms)
        accumulators = Accumulators(
            n_atoms, len(plan.label_names), store.embeddings.shape[1], plan.edges, options.top_n
        )
        passed = run_token_pass(
            sae,
            store,
            accumulators,
            plan.label_ids,
            plan.coactivation_tokens,
            work,
            device,
            progress,
            options.checkpoint_seconds,
        )
        neighbours = find_neighbours(
            sae, passed.live, passed.token_sample, options.neighbours, NEAREST_FOR_MAP, work / "layout", progress
        )
        atom_map = lay_out(passed.live, n_atoms, options.layout, work / "layout", options.seed, progress)

        progress.start("tables and labels", None, "files")
        folder.mkdir(exist_ok=True)
        exemplars = choose_exemplars(passed.accumulators)
        statistics = measure_atoms(
            passed.accumulators, exemplars, store.items["label"].tolist(), store.embeddings, store.n_tokens
        )
        labels = share_of_labels(passed.accumulators, plan.label_names)
        names = name_all(exemplars, store, atom_map.cluster)
        write_measured(folder, exemplars, passed, labels, neighbours, progress)
        write_tokens_and_items(folder, store, sample, passed, n_atoms, progress)
        write_atoms_and_clusters(folder, statistics, names, atom_map, progress)
        progress.finish()

        pictures = write_pictures(folder, store, options, progress)
        copy_saes(inputs, folder)
        write_meta(folder, describe(inputs, created, plan, passed, statistics, atom_map, pictures))
        publish(work, folder, out)
    return out
