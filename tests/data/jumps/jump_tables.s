# What clang 22.1.8 makes of jump_tables.c at -O2 -mcpu=v4, as `ebpfasm disasm` writes it.
    .file "jump_tables.c"
    .section .text, "ax", @progbits
    .local weigh
    .type weigh, @function
    .size weigh, 968
    .globl by_length
    .type by_length, @function
    .size by_length, 896
    .globl BPF.JT.0.0
    .type BPF.JT.0.0, @object
    .size BPF.JT.0.0, 128
    .globl BPF.JT.1.0
    .type BPF.JT.1.0, @object
    .size BPF.JT.1.0, 128
    .globl total
    .type total, @object
    .size total, 4
    .globl counted
    .type counted, @function
    .size counted, 1128
    .globl BPF.JT.2.0
    .type BPF.JT.2.0, @object
    .size BPF.JT.2.0, 128
    .globl _license
    .type _license, @object
    .size _license, 4
    .section xdp, "ax", @progbits
    .section .jumptables, "", @progbits
    .section .data, "aw", @progbits
    .section license, "aw", @progbits

    .section .text, "ax", @progbits
    .p2align 3
weigh:
    w0 = 0x5
    if w1 > 0xf goto .L0_3c0
    w1 = w1
    r1 <<= 0x3
    r3 = BPF.JT.1.0 ll
    r3 += r1
    r1 = *(u64 *)(r3 + 0x0)
    gotox r1
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0x3
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x2a
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0x11
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x21
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0xe
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0xc
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0x7
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x24
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0xf
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x1b
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0xc
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x6
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0x5
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x2d
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0x12
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x9
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0x6
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x15
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0xa
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x3
    *(u32 *)(r1 + 0x0) = w3
    w2 <<= 0x2
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0xf
    *(u32 *)(r1 + 0x0) = w3
    w2 <<= 0x3
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x27
    *(u32 *)(r1 + 0x0) = w3
    w2 <<= 0x4
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x12
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0x9
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x1e
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0xd
    goto .L0_3b8
    r1 = total ll
    w3 = *(u32 *)(r1 + 0x0)
    w3 += 0x18
    *(u32 *)(r1 + 0x0) = w3
    w2 *= 0xb
.L0_3b8:
    w0 = w2
.L0_3c0:
    exit

    .section xdp, "ax", @progbits
    .p2align 3
by_length:
    w3 = *(u32 *)(r1 + 0x0)
    w2 = *(u32 *)(r1 + 0x4)
    w2 -= w3
    w3 = w2
    w3 += -0x3c
    if w3 > 0xf goto .L1_350
    r3 <<= 0x3
    r2 = BPF.JT.0.0 ll
    r2 += r3
    r2 = *(u64 *)(r2 + 0x0)
    gotox r2
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x5
    goto .L1_370
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0xb
    call weigh
    w0 += 0xe
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0xe
    call weigh
    w0 += 0xb
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x1
    call weigh
    w0 += 0x4
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x9
    call weigh
    w0 += 0xc
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0xc
    call weigh
    w0 += 0x9
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x7
    call weigh
    w0 += 0x2
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0xa
    call weigh
    w0 += 0xf
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x6
    call weigh
    w0 += 0x3
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x2
    call weigh
    w0 += 0x7
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x4
    call weigh
    w0 += 0x1
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x0
    call weigh
    w0 += 0x5
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x8
    call weigh
    w0 += 0xd
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0x3
    call weigh
    w0 += 0x6
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0xf
    call weigh
    w0 += 0xa
    goto .L1_378
    w2 = *(u32 *)(r1 + 0x10)
    w2 += 0x1
    w1 = 0xd
    call weigh
    w0 += 0x8
    goto .L1_378
.L1_350:
    w2 += 0x4
    w2 &= 0x1f
    w1 = w2
    w2 = 0x4
.L1_370:
    call weigh
.L1_378:
    exit
counted:
    w2 = *(u32 *)(r1 + 0x0)
    w1 = *(u32 *)(r1 + 0x4)
    w1 -= w2
    w1 &= 0x1f
    if w1 > 0xf goto .L1_7c8
    r1 <<= 0x3
    r2 = BPF.JT.2.0 ll
    r2 += r1
    r1 = *(u64 *)(r2 + 0x0)
    gotox r1
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0xe
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0xe
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0xb
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0xb
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x4
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x4
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0xc
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0xc
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x9
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x9
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x2
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x2
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0xf
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0xf
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x3
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x3
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x7
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x7
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x1
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x1
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x5
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x5
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0xd
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0xd
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x6
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x6
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0xa
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0xa
    goto .L1_7e0
    r1 = total ll
    w2 = *(u32 *)(r1 + 0x0)
    w2 += 0x8
    *(u32 *)(r1 + 0x0) = w2
    w0 = *(u32 *)(r1 + 0x0)
    w0 ^= 0x8
    goto .L1_7e0
.L1_7c8:
    w1 += -0x10
    w2 = 0x3
    call weigh
.L1_7e0:
    exit

    .section .jumptables, "", @progbits
BPF.JT.0.0:
    .byte 0x60
    .zero 7
    .byte 0x30, 0x02
    .zero 6
    .byte 0x70, 0x01
    .zero 6
    .byte 0xd0, 0x01
    .zero 6
    .byte 0xe0
    .zero 7
    .byte 0x60, 0x02
    .zero 6
    .byte 0xc0, 0x02
    .zero 7
    .byte 0x02
    .zero 6
    .byte 0x20, 0x03
    .zero 6
    .byte 0x40, 0x01
    .zero 6
    .byte 0xf0, 0x02
    .zero 6
    .byte 0xb0
    .zero 7
    .byte 0x10, 0x01
    .zero 6
    .byte 0x90, 0x02
    .zero 6
    .byte 0x80
    .zero 7
    .byte 0xa0, 0x01
    .zero 6
BPF.JT.1.0:
    .byte 0x48
    .zero 7
    .byte 0x70, 0x02
    .zero 6
    .byte 0x90, 0x01
    .zero 7
    .byte 0x02
    .zero 6
    .byte 0xe8
    .zero 7
    .byte 0xa8, 0x02
    .zero 6
    .byte 0x18, 0x03
    .zero 6
    .byte 0x38, 0x02
    .zero 6
    .byte 0x88, 0x03
    .zero 6
    .byte 0x58, 0x01
    .zero 6
    .byte 0x50, 0x03
    .zero 6
    .byte 0xb0
    .zero 7
    .byte 0x20, 0x01
    .zero 6
    .byte 0xe0, 0x02
    .zero 6
    .byte 0x78
    .zero 7
    .byte 0xc8, 0x01
    .zero 6
BPF.JT.2.0:
    .byte 0xd8, 0x03
    .zero 6
    .byte 0x48, 0x06
    .zero 6
    .byte 0x48, 0x05
    .zero 6
    .byte 0xc8, 0x05
    .zero 6
    .byte 0x88, 0x04
    .zero 6
    .byte 0x88, 0x06
    .zero 6
    .byte 0x08, 0x07
    .zero 6
    .byte 0x08, 0x06
    .zero 6
    .byte 0x88, 0x07
    .zero 6
    .byte 0x08, 0x05
    .zero 6
    .byte 0x48, 0x07
    .zero 6
    .byte 0x48, 0x04
    .zero 6
    .byte 0xc8, 0x04
    .zero 6
    .byte 0xc8, 0x06
    .zero 6
    .byte 0x08, 0x04
    .zero 6
    .byte 0x88, 0x05
    .zero 6

    .section .data, "aw", @progbits
    .p2align 2
total:
    .byte 0x03, 0x00, 0x00, 0x00

    .section license, "aw", @progbits
_license:
    .asciz "GPL"
