#include "tests/support/private_mounts.h"

#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool private_mounts_enter(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* An initramfs cannot be pivoted away (pivot_root(2)). */
static bool change_root(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) == 0;
    return mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0;
}

bool private_mounts_enter_empty(void)
{
    return private_mounts_enter() && mount("tmpfs", "/tmp", "tmpfs", 0, "mode=0755") == 0 &&
           chdir("/tmp") == 0 && mkdir("proc", 0755) == 0 &&
           mount("proc", "proc", "proc", 0, NULL) == 0 && change_root() && chdir("/") == 0;
}
