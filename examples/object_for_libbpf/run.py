"""Make an ELF object from assembly text, and let bpftool, which is built on libbpf, do the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ebpfasm
from ebpfasm.errors import EbpfError, error, unsupported
from ebpfasm.runtime import bpffs
from examples import stage

PROGRAM = Path(__file__).with_name("traffic.s")


def main() -> None:
    """Assemble, write the object, load and attach it with bpftool, and watch its variables."""
    parser = stage.parser(__doc__ or "")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="keep the object here")
    options = parser.parse_args()
    content = ebpfasm.to_elf(ebpfasm.open(PROGRAM))
    with tempfile.TemporaryDirectory() as folder:
        target = options.output or Path(folder) / "traffic.o"
        target.write_bytes(content)
        stage.say(options, f"{target.name}: {len(content)} bytes", object=str(target))
        with stage.stage(options) as here, loaded(target) as pin, attached(pin, here.interface):
            stage.say(options, f"bpftool attached it to {here.interface}", attached=here.interface)
            here.play()
            for seconds in here.seconds():
                now = variables(pin)
                stage.say(options, f"{seconds:4.0f} s  {now}", seconds=round(seconds, 3), **now)
            here.finish(lambda: variables(pin)["packets"])
            last = variables(pin)
    sent = f" of {here.sent:,} sent" if here.sent is not None else ""
    plain = f"detached; counted {last['packets']:,} packets{sent}"
    stage.say(options, plain, counted=last, sent=here.sent)


@contextmanager
def loaded(target: Path) -> Iterator[Path]:
    """Load the object and keep it under a name in bpffs, for as long as the block lasts."""
    bpffs.mount()
    folder = Path(tempfile.mkdtemp(prefix="ebpfasm-", dir=bpffs.DEFAULT))
    try:
        bpftool("prog", "load", target, folder / "program")
        yield folder / "program"
    finally:
        shutil.rmtree(folder)


@contextmanager
def attached(pin: Path, interface: str) -> Iterator[None]:
    """Attach the program to an interface, and take it away at the end."""
    bpftool("net", "attach", "xdp", "pinned", pin, "dev", interface)
    try:
        yield
    finally:
        bpftool("net", "detach", "xdp", "dev", interface)


def variables(pin: Path) -> dict[str, int]:
    """The program's variables by the names that the object's BTF gives them."""
    program = bpftool("-j", "prog", "show", "pinned", pin)
    (map_id,) = program["map_ids"]
    (element,) = bpftool("-j", "map", "dump", "id", map_id)
    (rows,) = element["formatted"]["value"].values()
    return {name: value for row in rows for name, value in row.items()}


def bpftool(*words: object) -> Any:
    """Run bpftool; what it prints as JSON. Raises EbpfError with what it complains about."""
    path = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if path is None:
        raise unsupported("bpftool", hint="install it: apt install bpftool")
    command = [path, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}"
        raise EbpfError(error("load-failed", message))
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else None


if __name__ == "__main__":
    stage.guarded(main)
