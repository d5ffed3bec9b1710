#include "agent/process/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int pipe_new(int ret_ends[2], struct nsp_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, errno, "pipe2", "descriptors");
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return 0;
}

void pipe_enlarge(int fd)
{
    (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BUSY_BYTES);
}

size_t pipe_capacity(int fd)
{
    int capacity = fcntl(fd, F_GETPIPE_SZ);
    return capacity > PIPE_PAGE ? (size_t)capacity : PIPE_PAGE;
}
