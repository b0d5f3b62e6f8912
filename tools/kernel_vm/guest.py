"""What happens inside the machine: the first stage finds the host's files, the second runs."""

from __future__ import annotations

PLACE = "/run/kernel-vm"

# Linked into the guest by the initial file system; busybox runs it before there is anything else.
FIRST_STAGE = r"""#!/busybox sh
B=/busybox
die() { echo "kernel-vm: $*"; $B sleep 0.2; $B reboot -f; }
$B mkdir -p /dev /proc /sys /host /rw /new /ov
$B mount -t devtmpfs dev /dev || die "no devtmpfs"
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
for m in $($B cat /modules/order); do
    $B insmod /modules/$m || die "module $m does not load"
done
. /conf
$B mount -t tmpfs -o mode=755 ov /ov
$B mkdir /ov/up /ov/work
mount_share() {  # tag, where, further options
    $B mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose$3 $1 $2 \
        || die "cannot mount share $1"
}
mount_share root /host ,ro
$B mount -t overlay -o lowerdir=/host,upperdir=/ov/up,workdir=/ov/work root /new \
    || die "cannot mount the overlay"
i=0
while [ $i -lt $N_RW ]; do
    eval "d=\$RW_$i"
    $B mkdir -p /rw/$i
    mount_share rw$i /rw/$i
    $B mount -o move /rw/$i "/new$d" || die "cannot mount $d"
    i=$((i+1))
done
N=/new
for d in proc sys dev run tmp dev/pts dev/shm; do $B mkdir -p $N/$d; done
$B mount -o move /proc $N/proc
$B mount -o move /sys $N/sys
$B mount -o move /dev $N/dev
$B mount -t tmpfs -o mode=755 run $N/run
[ -d $N/dev/pts ] || $B mkdir $N/dev/pts
[ -d $N/dev/shm ] || $B mkdir $N/dev/shm
$B mount -t devpts -o mode=620,ptmxmode=666 devpts $N/dev/pts
$B mount -t tmpfs -o mode=1777 shm $N/dev/shm
$B ln -sfn /proc/self/fd $N/dev/fd
$B ln -sfn fd/0 $N/dev/stdin
$B ln -sfn fd/1 $N/dev/stdout
$B ln -sfn fd/2 $N/dev/stderr
$B mount -t cgroup2 cgroup $N/sys/fs/cgroup
$B mount -t bpf bpf $N/sys/fs/bpf
$B mount -t debugfs debugfs $N/sys/kernel/debug 2>/dev/null
$B mount -t tracefs tracefs $N/sys/kernel/tracing 2>/dev/null
$B mount -t securityfs securityfs $N/sys/kernel/security 2>/dev/null
R=$N@GUEST@
$B mkdir -p $R $N/run/netns $N/run/lock
$B cp /busybox $R/busybox
$B mv /stage2 /command /stdin $R/
$B ln -s busybox $R/modprobe
$B mkdir -p $N/lib/modules
if [ -n "$MODULES" ]; then
    $B mkdir -p $N$MODULES_AT
    $B mount -o bind "$N$MODULES" $N$MODULES_AT || $B echo "kernel-vm: no modules"
fi
exec $B switch_root $N @GUEST@/busybox sh @GUEST@/stage2
"""

# Runs in the host's file system; the command's output goes through a port each.
SECOND_STAGE = r"""G=@GUEST@
B=$G/busybox
# The module lists may be busybox's, which kmod's modprobe does not read.
echo $G/modprobe > /proc/sys/kernel/modprobe
$B ln -sfn $G/modprobe /sbin/modprobe
# Where libbpf looks for it.
r=$($B uname -r)
[ -e /lib/modules/$r/config ] && $B cp /lib/modules/$r/config /boot/config-$r 2>/dev/null
$B ip link set lo up
$B hostname kernel-vm
echo 1 > /proc/sys/net/core/bpf_jit_enable 2>/dev/null
for p in /sys/class/virtio-ports/vport*; do
    read n < $p/name && $B ln -s /dev/${p##*/} $G/port.$n
done
ulimit -l unlimited
ulimit -c 0
$B mkfifo $G/o $G/e
$B cat $G/o > $G/port.out & o=$!
$B cat $G/e > $G/port.err & e=$!
exec 9> $G/port.ctl
echo ready >&9
$B sh $G/command < $G/stdin > $G/o 2> $G/e 9>&-
rc=$?
# A background child may still hold the pipes: wait a little, not for ever.
i=0
while $B kill -0 $o 2>/dev/null || $B kill -0 $e 2>/dev/null; do
    $B sleep 0.05; i=$((i+1)); [ $i -lt 40 ] || break
done
$B sync
echo "exit $rc" >&9
$B sleep 5
echo o > /proc/sysrq-trigger
$B sleep 5
"""


def first_stage() -> bytes:
    """The script that the kernel starts."""
    return FIRST_STAGE.replace("@GUEST@", PLACE).encode()


def second_stage() -> bytes:
    """The script that the first stage ends in."""
    return SECOND_STAGE.replace("@GUEST@", PLACE).encode()
