"""A Storage SCP as a process of its own, to be killed: python -m tests.receive.listening_process FOLDER; prints its port."""

import sys
import threading
from pathlib import Path

from tests.receive.front_door import opened_front_door

with opened_front_door(Path(sys.argv[1])) as front_door:
    print(front_door.port, flush=True)
    threading.Event().wait()
