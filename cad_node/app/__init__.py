"""The wiring: settings become objects. One file per process, so that each imports only what it needs."""
