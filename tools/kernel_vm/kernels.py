"""Kernels in a folder: fetched once, unpacked, and ready to boot."""

from __future__ import annotations

import fcntl
import lzma
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from kernel_vm.failure import Failed, need, say
from kernel_vm.packages import Lists, all_lists, is_kernel, matches, newest

# Where a bzImage's setup header says where its payload is (Documentation/arch/x86/boot.rst).
_SETUP_SECTORS, _HEADER, _PAYLOAD = 0x1F1, 0x202, 0x248
_PACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4", b"\x1f\x8b": "gzip"}


class Kernel:
    """An unpacked kernel: image and modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.release = folder.name

    @property
    def image(self) -> Path:
        """What qemu boots: the bare ELF image, where it could be had."""
        bare = self.folder / "vmlinux"
        return bare if bare.exists() else self.folder / "vmlinuz"

    @property
    def modules(self) -> Path:
        """The folder that the guest sees as /lib/modules/RELEASE."""
        return self.folder / "lib/modules" / self.release

    def module_files(self, wanted: tuple[str, ...]) -> list[tuple[str, Path]]:
        """Modules, each behind those it depends on; what is built in is left out."""
        needs, paths = {}, {}
        for line in (self.modules / "modules.dep").read_text(encoding="utf-8").splitlines():
            path, _, rest = line.partition(":")
            paths[_module_name(path)] = path
            needs[_module_name(path)] = [_module_name(each) for each in rest.split()]
        order: list[str] = []

        def add(name: str) -> None:
            if name in paths and name not in order:
                for each in needs[name]:
                    add(each)
                order.append(name)

        for name in wanted:
            add(name)
        return [(name, self.modules / paths[name]) for name in order]


class Kernels:
    """The kernels in the cache folder, and those that apt can bring there."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._folder = cache / "kernels"
        self._folder.mkdir(parents=True, exist_ok=True)

    def here(self, wanted: str = "") -> list[str]:
        """The releases that are there already."""
        names = [each.name for each in self._folder.iterdir() if is_kernel(each.name)]
        return [each for each in names if not wanted or matches(each, wanted)]

    def offered(self) -> list[str]:
        """All releases that apt can bring. Raises Failed."""
        return [each for lists in all_lists(self._cache / "apt") for each in lists.kernels()]

    def get(self, wanted: str) -> Kernel:
        """The newest kernel of a version, fetched where there is none. Raises Failed."""
        if not shutil.which("apt-get") and not self.here(wanted):
            raise Failed("apt-get is missing: kernels come from Debian's packages")
        with open(self._cache / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            release = newest(self.here(wanted)) or self._fetch(wanted)
        return Kernel(self._folder / release)

    def _fetch(self, wanted: str) -> str:
        for lists in all_lists(self._cache / "apt"):
            release = newest([each for each in lists.kernels() if matches(each, wanted)])
            if release is not None:
                self._unpack(lists, release)
                return release
        raise Failed(f"there is no kernel {wanted} among Debian's packages (see --list)")

    def _unpack(self, lists: Lists, release: str) -> None:
        say(f"fetching {release}")
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._cache) as name:
            new = Path(name)
            for each in lists.download(release, new):
                subprocess.run(["dpkg-deb", "-x", each, new / "root"], check=True)
            out = new / "out"
            modules = out / "lib/modules" / release
            modules.parent.mkdir(parents=True)
            places = (new / "root/usr/lib/modules" / release, new / "root/lib/modules" / release)
            shutil.move(next(each for each in places if each.is_dir()), modules)
            images = (new / f"root/boot/vmlinuz-{release}", modules / "vmlinuz")
            image = next((each for each in images if each.exists()), None)
            if image is None:
                raise Failed(f"the packages of {release} hold no kernel")
            shutil.copy(image, out / "vmlinuz")
            configuration = new / f"root/boot/config-{release}"
            if configuration.exists():
                shutil.copy(configuration, modules / "config")
            bare = _bare_image(image.read_bytes())
            if bare is not None:
                (out / "vmlinux").write_bytes(bare)
            command = [need("busybox", "busybox-static"), "depmod", "-b", str(out), release]
            subprocess.run(command, check=True, capture_output=True)
            out.rename(self._folder / release)


def _bare_image(content: bytes) -> bytes | None:
    """The ELF image inside a bzImage, or None.

    Booting it spares the guest unpacking itself, which an emulated processor takes seconds for.
    """
    if content[_HEADER : _HEADER + 4] != b"HdrS":
        return None
    start, size = struct.unpack_from("<II", content, _PAYLOAD)
    start += ((content[_SETUP_SECTORS] or 4) + 1) * 512
    packed = content[start : start + size]
    if packed[:6] == b"\xfd7zXZ\0":
        try:
            bare = lzma.LZMADecompressor().decompress(packed)
        except lzma.LZMAError:
            return None
    else:
        tool = next((each for magic, each in _PACKERS.items() if packed.startswith(magic)), None)
        if tool is None or shutil.which(tool) is None:
            return None
        # The last four bytes are the size, which the tools do not expect.
        packed = packed if tool == "gzip" else packed[:-4]
        bare = subprocess.run([tool, "-dc"], input=packed, capture_output=True, check=False).stdout
    return bare if bare[:4] == b"\x7fELF" else None


def module_bytes(path: Path) -> bytes:
    """The content of a module, unpacked. Raises Failed."""
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".zst" | ".gz":
            tool = need("zstd" if path.suffix == ".zst" else "gzip", path.suffix[1:])
            content = path.read_bytes()
            return subprocess.run(
                [tool, "-dc"], input=content, capture_output=True, check=True
            ).stdout
        case _:
            return path.read_bytes()


def _module_name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")
