"""Linux's error numbers: what helpers return is the same on every machine.

Python's `errno` has those of the system that it runs on.
"""

from __future__ import annotations

EPERM = 1
ENOENT = 2
E2BIG = 7
EAGAIN = 11
ENOMEM = 12
EACCES = 13
EFAULT = 14
EBUSY = 16
EEXIST = 17
ENODEV = 19
EINVAL = 22
ENOSPC = 28
ERANGE = 34
ENAMETOOLONG = 36
ENOMSG = 42
EPROTO = 71
EBADMSG = 74
EPROTOTYPE = 91
EPROTONOSUPPORT = 93
ESOCKTNOSUPPORT = 94
EOPNOTSUPP = 95
EAFNOSUPPORT = 97
EALREADY = 114
ENOTSUPP = 524  # the kernel's own; no C library names it

# number -> name, as errno.errorcode
errorcode: dict[int, str] = {
    number: name for name, number in dict(globals()).items() if name[0] == "E"
}
