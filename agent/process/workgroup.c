/* The kernel raises an inotify(7) event on these files when a number in them changes. Which process
 * was killed is in the kernel's log; here is how many. A fork bomb raises hundreds of events: it is
 * told once at its beginning, and then once a second. */
#include "agent/process/workgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/machine/cgroup.h"

struct workgroup {
    const char *path;
    int fd;
    struct io *io;
    struct timer *timer; /* runs after something was told */
    bool is_resting;
    struct workgroup_stats told;
};

enum { REST_MS = 1000 };

static void read_counts(const struct workgroup *group, struct workgroup_stats *ret_stats)
{
    *ret_stats = group->told;
    cgroup_read(group->path, "memory.events", "oom_kill", &ret_stats->oom_kills);
    cgroup_read(group->path, "pids.events", "max", &ret_stats->refused_tasks);
}

static bool tell(struct workgroup *group)
{
    struct workgroup_stats now;
    read_counts(group, &now);
    uint64_t killed = now.oom_kills - group->told.oom_kills;
    uint64_t refused = now.refused_tasks - group->told.refused_tasks;
    if (killed > 0)
        log_warn("out of memory: processes were killed", "killed=%llu total=%llu",
                 (unsigned long long)killed, (unsigned long long)now.oom_kills);
    if (refused > 0)
        log_warn("too many tasks: new ones were refused", "refused=%llu total=%llu",
                 (unsigned long long)refused, (unsigned long long)now.refused_tasks);
    group->told = now;
    return killed > 0 || refused > 0;
}

static void tell_and_rest(struct workgroup *group)
{
    group->is_resting =
        tell(group) && timer_set(group->timer, REST_MS * CLOCK_NS_PER_MS, NULL) == 0;
}

static void on_rest_over(void *arg)
{
    tell_and_rest(arg);
}

static void on_event(void *arg, unsigned ready)
{
    struct workgroup *group = arg;
    char events[sizeof(struct inotify_event) + NAME_MAX + 1];
    (void)ready;
    while (read(group->fd, events, sizeof events) > 0)
        ;
    if (!group->is_resting)
        tell_and_rest(group);
}

static bool watch(const struct workgroup *group, const char *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", group->path, file);
    return inotify_add_watch(group->fd, path, IN_MODIFY) >= 0;
}

int workgroup_new(struct loop *loop, const char *path, struct workgroup **ret_group,
                  struct nsp_error *err)
{
    struct workgroup *group = calloc(1, sizeof *group);
    if (!group)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for a group");
    group->path = path;
    group->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    bool has_memory = group->fd >= 0 && watch(group, "memory.events");
    bool has_pids = group->fd >= 0 && watch(group, "pids.events");
    if (!has_memory && !has_pids) {
        workgroup_free(group);
        return nsp_fail_on(err, NSP_E_UNSUPPORTED, path, "no events of the group to watch");
    }
    if (timer_new(loop, on_rest_over, group, &group->timer, err) < 0 ||
        io_new(loop, group->fd, IO_READ, on_event, group, &group->io, err) < 0) {
        workgroup_free(group);
        return -1;
    }
    read_counts(group, &group->told);
    *ret_group = group;
    return 0;
}

void workgroup_free(struct workgroup *group)
{
    if (!group)
        return;
    io_free(group->io);
    timer_free(group->timer);
    if (group->fd >= 0)
        close(group->fd);
    free(group);
}

void workgroup_stats(const struct workgroup *group, struct workgroup_stats *ret_stats)
{
    *ret_stats = (struct workgroup_stats){0};
    if (group)
        read_counts(group, ret_stats);
}
