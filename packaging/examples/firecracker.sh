#!/bin/sh
# Boots a root file system with the agent in it under Firecracker.
#
# usage: firecracker.sh DIRECTORY
#
# DIRECTORY holds vmlinux (with virtio-mmio, virtio-blk, virtio-vsock and ext4 built in), rootfs.ext4
# with the agent at /sbin/nullspace-agent, and, as firecracker.json, the configuration beside this
# script, whose relative paths count from there. What its kernel arguments are for:
#
#   reboot=k              Firecracker on x86 has no power-off; it ends when the guest resets itself by
#                         the keyboard controller. The agent sees this word and does so
#   panic=1               a guest whose PID 1 died ends after a second, instead of standing for ever
#   i8042.noaux, .nomux,  the keyboard controller is only there for reset and Ctrl-Alt-Delete; this
#   .dumbkbd              spares the kernel's search for a mouse. (Not i8042.nokbd: SendCtrlAltDel,
#                         upon which the agent shuts down in order, arrives as keys)
#   8250.nr_uarts=0       no serial console: it is slow, and its log on the host grows without bound.
#                         To look at a boot: console=ttyS0 8250.nr_uarts=1
#   swiotlb=noforce       no memory set aside for bounce buffers
#   init=...              the agent is PID 1
#   ns.listen=...         an option of the agent, --listen. Never secrets: the guest can read them
#
# Firecracker itself adds root=/dev/vda and rw for the drive that is_root_device. An initramfs
# (packaging/image initramfs) does as well: initrd_path in boot-source instead of the drive, or with it
# and ns.root=/dev/vda. nomodule saves time where the kernel has everything built in.
#
# The vsock device is the socket DIRECTORY/vsock.sock. From the host (hello is answered as soon as the
# agent listens; before, the connection is closed, and nsctl tries again):
#
#   nsctl --connect hybrid:DIRECTORY/vsock.sock:1024 run -- uname -a
#
# guest_cid may be the same for all: only the sockets tell guests apart.
set -eu

cd "$1"
# Firecracker refuses to start where the last one's socket still is.
rm -f vsock.sock
exec firecracker --no-api --config-file firecracker.json
