"""The native core's functions, as the headers in native/api/ declare and document them."""

from _cffi_backend import FFI, _CDataBase

class _Native:
    def ebpfasm_bpf(self, cmd: int, attr: _CDataBase | bytes, size: int, /) -> int: ...
    def ebpfasm_map_items(
        self,
        fd: int,
        key_size: int,
        value_size: int,
        keys_are_fixed: int,
        keys: _CDataBase,
        values: _CDataBase,
        capacity: int,
        count: int,
        more: _CDataBase,
        /,
    ) -> int: ...
    def ebpfasm_vm_run(self, vm: _CDataBase, /) -> int: ...
    def ebpfasm_vm_start(self, vm: _CDataBase, arguments: int, r1: int, r2: int, /) -> int: ...
    def ebpfasm_vm_place(
        self, vm: _CDataBase, base: int, data: int, data_end: int, meta: int, link: int, /
    ) -> None: ...
    def ebpfasm_vm_enter(self, vm: _CDataBase, start: int, site: int, /) -> int: ...
    def ebpfasm_vm_batch(
        self,
        vm: _CDataBase,
        data: _CDataBase,
        offsets: _CDataBase,
        lengths: _CDataBase,
        count: int,
        next: _CDataBase,
        retvals: _CDataBase,
        /,
    ) -> int: ...
    def ebpfasm_vm_op(self, number: int, /) -> _CDataBase: ...
    def ebpfasm_vm_find(self, index: _CDataBase, key: _CDataBase | bytes, /) -> int: ...
    def ebpfasm_vm_insert(self, index: _CDataBase, key: _CDataBase | bytes, /) -> int: ...
    def ebpfasm_vm_remove(self, index: _CDataBase, key: _CDataBase | bytes, /) -> int: ...
    def ebpfasm_pcap_index(
        self,
        file: _CDataBase | bytes,
        size: int,
        offsets: _CDataBase,
        lengths: _CDataBase,
        capacity: int,
        /,
    ) -> int: ...

ffi: FFI
lib: _Native
