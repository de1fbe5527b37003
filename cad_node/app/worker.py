"""The analysing process: one device, every model."""

import os
import random
import threading
from collections.abc import Mapping

from cad_node.app.start import now, open_store, process_name, usable_models
from cad_node.errors import ManifestError
from cad_node.inference.detect_nodules import detect_nodules
from cad_node.inference.model import Model, load_model
from cad_node.log import get_logger
from cad_node.output.builder import Builder
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from cad_node.pipeline import Task
from cad_node.settings import Settings
from cad_node.store.node import node_uid
from cad_node.worker import ModelKey, Worker

log = get_logger()

# The plug points, by the key under which model.toml names them.
TASKS: Mapping[str, Task] = {"detect_nodules": detect_nodules}
BUILDERS: Mapping[str, Builder] = {"seg": build_seg, "sr": build_sr}


def run_worker(settings: Settings, device: str, stop: threading.Event) -> None:
    """One device. Raises ProviderMissing if it can't be had."""
    store = open_store(settings)
    Worker(
        name=process_name(f"worker {device}", os.getpid()),
        models=load_models(settings, device),
        tasks=TASKS,
        builders=BUILDERS,
        objects_by_destination={name: destination.objects for name, destination in settings.destinations.items()},
        studies=store.studies,
        jobs=store.jobs,
        results_dir=settings.results_dir.resolve(),
        node_uid=node_uid(store.database),
        timezone=settings.timezone,
        queue=settings.queue,
        clock=now,
        rng=random.Random(),  # noqa: S311 - jitter
    ).run(stop)


def load_models(settings: Settings, device: str) -> dict[ModelKey, Model | ManifestError]:
    """Every sound model folder, loaded on `device`; a model that fails its checks is kept as its error, so that its jobs say why."""
    loaded: dict[ModelKey, Model | ManifestError] = {}
    for folder in usable_models(settings):
        try:
            loaded[folder.key] = load_model(folder, device, settings.worker.threads)
            log.info("model.ready", model="/".join(folder.key), device=device)
        except ManifestError as error:
            loaded[folder.key] = error
            log.error("model.unusable", model="/".join(folder.key), device=device, reason=str(error))
    return loaded
