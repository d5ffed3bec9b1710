#include "agent/os/hostclock.h"

#include <errno.h>

static const int64_t ns_per_s = 1000000000;
static const int64_t tolerance_ns = HOSTCLOCK_TOLERANCE_MS * INT64_C(1000000);

int hostclock_set_with(const struct hostclock_calls *calls, int64_t unix_ns, bool *ret_was_set,
                       int64_t *ret_offset_ns, struct nsp_error *err)
{
    struct timespec now;
    if (unix_ns <= 0)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "time", "the host's time is before 1970");
    if (calls->get(CLOCK_REALTIME, &now) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "clock_gettime", NULL);
    int64_t offset = unix_ns - ((int64_t)now.tv_sec * ns_per_s + now.tv_nsec);
    bool is_off = offset > tolerance_ns || offset < -tolerance_ns;
    const struct timespec wanted = {.tv_sec = unix_ns / ns_per_s, .tv_nsec = unix_ns % ns_per_s};
    if (is_off && calls->set(CLOCK_REALTIME, &wanted) < 0)
        return nsp_fail_errno(err, errno == EPERM ? NSP_E_PERMISSION : NSP_E_SYSTEM, errno,
                              "clock_settime", NULL);
    *ret_was_set = is_off;
    *ret_offset_ns = offset;
    return 0;
}

int hostclock_set(int64_t unix_ns, bool *ret_was_set, int64_t *ret_offset_ns, struct nsp_error *err)
{
    static const struct hostclock_calls calls = {clock_gettime, clock_settime};
    return hostclock_set_with(&calls, unix_ns, ret_was_set, ret_offset_ns, err);
}
