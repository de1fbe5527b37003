"""The schema of PS3.15 A.5.1 by libxml2, which comes with DCMTK."""

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_SCHEMA = Path(__file__).with_name("audit_message.rng")
_QUIET = 32 | 64  # XML_PARSE_NOERROR, XML_PARSE_NOWARNING
_MUTE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: None)


def is_valid(document: str) -> bool:
    """Whether it is an audit message by the standard's schema."""
    libxml2, schema = _schema()
    content = document.encode()
    tree = libxml2.xmlReadMemory(content, len(content), None, None, _QUIET)
    if not tree:
        return False
    context = libxml2.xmlRelaxNGNewValidCtxt(schema)
    try:
        libxml2.xmlRelaxNGSetValidStructuredErrors(context, _MUTE, None)
        return libxml2.xmlRelaxNGValidateDoc(context, tree) == 0
    finally:
        libxml2.xmlRelaxNGFreeValidCtxt(context)
        libxml2.xmlFreeDoc(tree)


@cache
def _schema() -> tuple[Any, int]:
    name = ctypes.util.find_library("xml2")
    if not name:
        pytest.skip("no libxml2 on this machine to validate with; Debian: libxml2")
    libxml2 = ctypes.CDLL(name)
    pointer, integer, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for function, result, *arguments in (
        ("xmlRelaxNGNewMemParserCtxt", pointer, text, integer),
        ("xmlRelaxNGParse", pointer, pointer),
        ("xmlRelaxNGNewValidCtxt", pointer, pointer),
        ("xmlRelaxNGSetValidStructuredErrors", None, pointer, type(_MUTE), pointer),
        ("xmlReadMemory", pointer, text, integer, text, text, integer),
        ("xmlRelaxNGValidateDoc", integer, pointer, pointer),
        ("xmlRelaxNGFreeValidCtxt", None, pointer),
        ("xmlFreeDoc", None, pointer),
    ):
        getattr(libxml2, function).restype = result
        getattr(libxml2, function).argtypes = arguments
    content = _SCHEMA.read_bytes()
    schema = libxml2.xmlRelaxNGParse(libxml2.xmlRelaxNGNewMemParserCtxt(content, len(content)))
    assert schema, f"{_SCHEMA.name} isn't a RELAX NG schema"
    return libxml2, schema
