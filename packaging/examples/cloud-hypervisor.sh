#!/bin/sh
# Boots a root file system with the agent in it under Cloud Hypervisor.
#
# usage: cloud-hypervisor.sh DIRECTORY
#
# DIRECTORY holds vmlinux (a kernel with PVH or a bzImage, with virtio-pci) and rootfs.ext4 with the
# agent at /sbin/nullspace-agent. Instead of the disk, or with it and ns.root=/dev/vda:
# --initramfs FILE (packaging/image initramfs).
#
#   --vsock   as Firecracker's: a socket on the host, where CONNECT chooses the guest's port
#   --serial  the console; off (and no console=) in production
#   --rng     Cloud Hypervisor's default is /dev/urandom of the host: early entropy for the guest
#
# Power-off ends it (ACPI). A reset boots the same guest again: with panic=1 one that crashed comes
# back by itself.
#
#   nsctl --connect hybrid:DIRECTORY/vsock.sock:1024 run -- uname -a
set -eu

cd "$1"
rm -f vsock.sock
exec cloud-hypervisor \
    --cpus boot=2 \
    --memory size=512M \
    --kernel vmlinux \
    --disk path=rootfs.ext4 \
    --cmdline 'console=ttyS0 panic=1 root=/dev/vda rw init=/sbin/nullspace-agent ns.listen=vsock:1024' \
    --vsock cid=3,socket=vsock.sock \
    --serial tty \
    --console off
