"""The kernel inside a bzImage."""

import gzip
import lzma
import struct

from images.common import Fault, output, read, run

SETUP_SECTORS = 0x1F1
BOOT_MAGIC = 0x202
PAYLOAD = 0x248  # offset and length, two 32-bit numbers; since boot protocol 2.08


def kernel(options):
    """Takes the compressed kernel out of a bzImage, so that the guest need not decompress it."""
    image = read(options.vmlinuz)
    if image[BOOT_MAGIC : BOOT_MAGIC + 4] != b"HdrS":
        raise Fault(f"{options.vmlinuz}: not a bzImage")
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    offset += ((image[SETUP_SECTORS] or 4) + 1) * 512
    # The last four bytes are the size of the result, in gzip's case also a part of the stream.
    payload, size = image[offset : offset + length - 4], image[offset + length - 4 : offset + length]
    if payload.startswith(b"\x1f\x8b"):
        result = gzip.decompress(payload + size)
    elif payload.startswith(b"\xfd7zXZ\0"):
        result = lzma.decompress(payload)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        result = run(["zstd", "-dcq"], payload)
    elif payload.startswith(b"\x02\x21\x4c\x18"):
        result = run(["lz4", "-dcq"], payload)
    else:
        raise Fault(f"{options.vmlinuz}: compressed by an unknown program")
    if not result.startswith(b"\x7fELF"):
        raise Fault(f"{options.vmlinuz}: what it contains is not a kernel")
    with output(options.output) as file:
        file.write(result)
