"""A process that appends to an audit log as fast as it can: FOLDER NAME COUNT [BYTES]; prints what was acknowledged.

BYTES: the kernel kills it in mid-write where the file would grow beyond this.
"""

import resource
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from cad_node.audit.audit_log import AuditLog


def main() -> None:
    folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if len(sys.argv) > 4:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
    log = AuditLog(folder, 20_000, fsync=False)
    for number in range(count):
        log.append(f"{name} {number}", datetime.now(UTC))
        print(number, flush=True)


if __name__ == "__main__":
    main()
