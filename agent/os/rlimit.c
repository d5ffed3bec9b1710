#include "agent/os/rlimit.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { LIFTED_NOFILE = 524288 };

struct resource_name {
    int resource;
    const char *name;
};

static const struct resource_name names[] = {
    {RLIMIT_AS, "as"},           {RLIMIT_CORE, "core"},         {RLIMIT_CPU, "cpu"},
    {RLIMIT_DATA, "data"},       {RLIMIT_FSIZE, "fsize"},       {RLIMIT_LOCKS, "locks"},
    {RLIMIT_MEMLOCK, "memlock"}, {RLIMIT_MSGQUEUE, "msgqueue"}, {RLIMIT_NICE, "nice"},
    {RLIMIT_NOFILE, "nofile"},   {RLIMIT_NPROC, "nproc"},       {RLIMIT_RSS, "rss"},
    {RLIMIT_RTPRIO, "rtprio"},   {RLIMIT_RTTIME, "rttime"},     {RLIMIT_SIGPENDING, "sigpending"},
    {RLIMIT_STACK, "stack"},
};
_Static_assert(sizeof names / sizeof names[0] == RLIM_NLIMITS, "every resource has a name");

static struct rlimit original;
static bool raised;

int rlimit_by_name(const char *name)
{
    for (size_t i = 0; i < RLIM_NLIMITS; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].resource;
    return -1;
}

const char *rlimit_name(int resource)
{
    for (size_t i = 0; i < RLIM_NLIMITS; i++)
        if (names[i].resource == resource)
            return names[i].name;
    return NULL;
}

void rlimit_lift_nofile(void)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_max >= LIFTED_NOFILE)
        return;
    now.rlim_max = LIFTED_NOFILE;
    setrlimit(RLIMIT_NOFILE, &now);
}

void rlimit_raise_nofile(void)
{
    struct rlimit now;
    if (raised || getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur == now.rlim_max)
        return;
    struct rlimit wanted = {.rlim_cur = now.rlim_max, .rlim_max = now.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &wanted) < 0)
        return;
    original = now;
    raised = true;
}

const struct rlimit *rlimit_original_nofile(void)
{
    return raised ? &original : NULL;
}
