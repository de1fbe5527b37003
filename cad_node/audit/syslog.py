"""A record of the audit log as a syslog message: RFC 5424, PS3.15 A.6 and A.7."""

from datetime import UTC

from cad_node.audit.record import Record

_FACILITY = 10  # security/authorization
_NOTICE, _WARNING = 5, 4
_APP_NAME = "cad-node"
_MESSAGE_ID = "DICOM+RFC3881"
_CHAIN = "chain@32473"  # RFC 5612's enterprise number for examples: this software has none of its own
_BYTE_ORDER_MARK = "\ufeff"  # says that the text is UTF-8


def syslog_message(record: Record, host: str) -> bytes:
    """The message, with its place in the chain as structured data: a collector that keeps it holds an anchor for `audit verify`.

    host: the node's name, as the collector is to know it.
    """
    severity = _NOTICE if 'EventOutcomeIndicator="0"' in record.message else _WARNING
    time = record.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    header = f"<{_FACILITY * 8 + severity}>1 {time} {_printable(host)} {_APP_NAME} - {_MESSAGE_ID}"
    structured_data = f'[{_CHAIN} sequence="{record.sequence}" hash="{record.hash}"]'
    return f"{header} {structured_data} {_BYTE_ORDER_MARK}{record.message}".encode()


def _printable(host: str) -> str:
    """HOSTNAME, RFC 5424 6.2.4."""
    return "".join(character for character in host if "!" <= character <= "~")[:255] or "-"
