#!/bin/sh
# Boots a root file system with the agent in it under QEMU with KVM.
#
# usage: qemu.sh DIRECTORY [CID]
#
# DIRECTORY holds vmlinuz (with the drivers built in, or with an initramfs: see below) and rootfs.ext4
# with the agent at /sbin/nullspace-agent.
#
#   CID          the guest's address, 3 by default: unlike with Firecracker each guest of the host needs
#                another one. The host kernel's vhost_vsock serves it; the host has the CID 2
#   -no-reboot   a reset ends QEMU. With panic=1 a guest that crashed does not boot again unasked
#   -M q35       not microvm, which leaves some guests hanging early when the host is busy
#   virtio-rng   early entropy for the guest
#   -nodefaults  no floppy, no VGA, no network that nobody asked for
#
# With a modular kernel, as Debian's: packaging/image initramfs --kernel-dir ..., then -initrd FILE and
# ns.root=/dev/vda in the place of root=, rw and init=. packaging/vm does that for tests.
#
#   nsctl --connect vsock:3:1024 run -- uname -a
set -eu

cid=${2:-3}
cd "$1"
exec qemu-system-x86_64 \
    -M q35 -accel kvm -cpu host -smp 2 -m 512 \
    -nodefaults -no-reboot -display none -serial stdio \
    -kernel vmlinuz \
    -append 'console=ttyS0 panic=1 root=/dev/vda rw init=/sbin/nullspace-agent ns.listen=vsock:1024' \
    -drive file=rootfs.ext4,format=raw,if=none,id=root -device virtio-blk-pci,drive=root \
    -device virtio-rng-pci \
    -device "vhost-vsock-pci,guest-cid=$cid"
