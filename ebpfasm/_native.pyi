"""The native core's functions, as native/native.h declares and documents them."""

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

ffi: FFI
lib: _Native
