#include "agent/os/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/cleanup.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static int fail(struct nsp_error *err, int sys_errno, const char *op, const char *name)
{
    bool memory = sys_errno == ENOMEM || sys_errno == EMFILE || sys_errno == ENFILE;
    return nsp_fail_errno(err, memory ? NSP_E_EXHAUSTED : NSP_E_SYSTEM, sys_errno, op, name);
}

int memfd_new(const char *name, size_t size, int *ret_fd, struct nsp_error *err)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    AUTO_FD int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* kernel before 6.3 */
        fd = memfd_create(name, flags);
    if (fd < 0)
        return fail(err, errno, "memfd_create", name);
    if (ftruncate(fd, (off_t)size) < 0)
        return fail(err, errno, "ftruncate", name);
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        return fail(err, errno, "F_ADD_SEALS", name);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

void memfd_forbid_new_writers(int fd)
{
    fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
}

int memfd_check(int fd, size_t size, struct nsp_error *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return fail(err, errno, "fstat", NULL);
    if (status.st_size < 0 || (size_t)status.st_size != size)
        return nsp_fail(err, NSP_E_UNSUPPORTED, "shared memory has %lld bytes, not %zu",
                        (long long)status.st_size, size);
    return 0;
}
