"""What removes old files, from the settings; part of the sending process, and of the command line."""

from cad_node.app.audit import open_trail
from cad_node.app.start import Store, now
from cad_node.remover import Remover
from cad_node.settings import Settings
from cad_node.store.listed_files import ListedFiles
from cad_node.store.removals import Removals


def open_remover(settings: Settings, store: Store) -> Remover:
    """The remover of this node's folders."""
    files = ListedFiles(store.database, settings.spool_dir, settings.results_dir)
    return Remover(Removals(store.database), files, settings.retention, now, open_trail(settings, "retention"))
