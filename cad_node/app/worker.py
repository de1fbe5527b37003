"""The analysing process: one device, every model."""

import os
import random
import threading
from collections.abc import Mapping
from dataclasses import replace

from cad_node.app.audit import audited
from cad_node.app.start import Store, now, open_store, process_name
from cad_node.checks.validator import validator
from cad_node.errors import ManifestError
from cad_node.inference.analyse_lungs import analyse_lungs
from cad_node.inference.model import Model, load_model
from cad_node.lifecycle import JobState
from cad_node.log import get_logger
from cad_node.manifest import read_models
from cad_node.output.builder import Builder
from cad_node.output.cad_sr import build_cad_sr
from cad_node.output.gsps import build_gsps
from cad_node.output.kos import build_kos
from cad_node.output.labelmap import build_labelmap
from cad_node.output.pdf import build_pdf
from cad_node.output.pmap import build_pmap
from cad_node.output.rejection import build_rejection
from cad_node.output.rtstruct import build_rtstruct
from cad_node.output.sc import build_sc
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from cad_node.output.stl import build_stl
from cad_node.pipeline import Task
from cad_node.settings import Settings
from cad_node.store.files import clear_temporary
from cad_node.store.node import node_uid
from cad_node.worker import ModelKey, Worker

log = get_logger()

# The plug points, by the key under which model.toml and the settings name them.
TASKS: Mapping[str, Task] = {"analyse_lungs": analyse_lungs}
# A root of the results is made last, from what the others made: pipeline.build.
BUILDERS: Mapping[str, Builder] = {
    "seg": build_seg,
    "labelmap": build_labelmap,
    "sr": build_sr,
    "cad_sr": build_cad_sr,
    "gsps": build_gsps,
    "sc": build_sc,
    "pmap": build_pmap,
    "rtstruct": build_rtstruct,
    "pdf": build_pdf,
    "stl": build_stl,
    "kos": build_kos,
    "rejection": build_rejection,
}

MOST_WAITING = 100_000  # jobs looked at for the models they name


def run_worker(settings: Settings, device: str, stop: threading.Event) -> None:
    """One device. Raises ProviderMissing if it can't be had."""
    store = open_store(settings)
    clear_temporary(settings.results_dir)
    models = load_models(settings, store, device)
    with audited(settings, f"worker {device}") as trail:
        Worker(
            name=process_name(f"worker {device}", os.getpid()),
            models=models,
            tasks=TASKS,
            builders=BUILDERS,
            profiles={name: replace(to.profile, destination=name) for name, to in settings.destinations.items()},
            studies=store.studies,
            jobs=store.jobs,
            results_dir=settings.results_dir.resolve(),
            node_uid=node_uid(store.database),
            timezone=settings.timezone,
            queue=settings.queue,
            clock=now,
            rng=random.Random(),  # noqa: S311 - jitter
            trail=trail,
            validator=validator() if settings.worker.dciodvfy == "auto" else None,
        ).run(stop)


def load_models(settings: Settings, store: Store, device: str) -> dict[ModelKey, Model | ManifestError]:
    """Every model to run, loaded on `device`; one that can't be is kept as its error, so that its jobs say why.

    Also those that only waiting jobs name: an earlier version, or one that isn't enabled any more.
    """
    loaded: dict[ModelKey, Model | ManifestError] = {}
    folders, errors = read_models(settings.models.dir, settings.models.enabled)
    for error in errors:
        loaded[error.file.parent.parent.name, error.file.parent.name] = error
    waiting = {(job.model_name, job.model_version) for job in store.jobs.list(JobState.QUEUED, MOST_WAITING)}
    for name, version in waiting - loaded.keys() - {folder.key for folder in folders}:
        found, failed = read_models(settings.models.dir, [f"{name}/{version}"])
        folders += found
        if failed:
            loaded[name, version] = failed[0]
    for folder in folders:
        try:
            loaded[folder.key] = load_model(folder, device, settings.worker.threads, half=settings.worker.precision == "fp16")
            log.info("model.ready", model="/".join(folder.key), device=device)
        except ManifestError as error:
            loaded[folder.key] = error
    for key, model in loaded.items():
        if isinstance(model, ManifestError):
            log.error("model.unusable", model="/".join(key), device=device, reason=str(model))
    return loaded
