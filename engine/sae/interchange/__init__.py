"""SAEs from elsewhere, and ours for elsewhere: SAELens folders, and the published checkpoint of the sparsemax SAE."""

from engine.sae.interchange.reading import FORMATS, ImportedSAE, import_sae, write_run
from engine.sae.interchange.writing import export_sae

__all__ = ["FORMATS", "ImportedSAE", "export_sae", "import_sae", "write_run"]
