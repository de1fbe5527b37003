"""How this software names itself in File Meta Information and in association negotiation, PS3.7 D.3.3.2."""

IMPLEMENTATION_CLASS_UID = "2.25.281535490434056969362188507254958433957"
IMPLEMENTATION_VERSION_NAME = "CAD_NODE_0.1"  # SH, at most 16 characters
