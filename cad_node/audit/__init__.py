"""The audit trail: messages of PS3.15 A.5, a hash-chained log on disk, and its way to a syslog collector."""
