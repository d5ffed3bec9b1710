/* Scope-bound release of memory and descriptors (GCC/Clang cleanup attribute).
 *
 * Declare with AUTO_FREE or AUTO_FD; hand the value over with STEAL() or STEAL_FD(), which leave
 * the variable empty so that the cleanup does nothing.
 */
#ifndef NSP_CLEANUP_H
#define NSP_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void nsp_cleanup_free(void *slot)
{
    free(*(void **)slot);
}

static inline void nsp_cleanup_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline int nsp_steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

#define AUTO(cleanup_function) __attribute__((cleanup(cleanup_function)))
#define AUTO_FREE AUTO(nsp_cleanup_free)
#define AUTO_FD AUTO(nsp_cleanup_fd)

#define STEAL(pointer)                                                                             \
    ({                                                                                             \
        __typeof__(pointer) stolen_ = (pointer);                                                   \
        (pointer) = NULL;                                                                          \
        stolen_;                                                                                   \
    })
#define STEAL_FD(fd) nsp_steal_fd(&(fd))

#endif
