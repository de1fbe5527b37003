"""One target under atheris, which keeps the inputs that reach new code: python -m tests.fuzz.guided TARGET [libFuzzer's options]."""

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cad_node", "pynetdicom"], enable_loader_override=False):
    from tests.fuzz.targets import targets

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    (target,) = (target for target in targets() if target.name == sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="cad-node-corpus-") as corpus:
        for number, original in enumerate(target.originals):
            (Path(corpus) / str(number)).write_bytes(original)
        dictionary = Path(corpus) / "tokens"
        dictionary.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in target.tokens))
        options = [f"-dict={dictionary}", "-max_len=65536", "-timeout=30", "-rss_limit_mb=1000", *sys.argv[2:], corpus]
        atheris.Setup([sys.argv[0], *options], lambda data: bool(target.check(data)) and None)
        atheris.Fuzz()
