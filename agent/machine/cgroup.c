#include "agent/machine/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/machine/mount.h"
#include "protocol/cleanup.h"

enum {
    PATH_BYTES = 256,
    TEXT_BYTES = 1024,
    AGENT_MEMORY_MIN = 16 << 20, /* bytes that reclaim leaves to the agent */
    PIDS_RESERVE = 256,          /* tasks that the workload cannot take */
};

static int write_file(const char *directory, const char *file, const char *text)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static int read_file(const char *path, char *target, size_t capacity)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, target, capacity - 1);
    target[length > 0 ? length : 0] = '\0';
    return length < 0 ? -1 : 0;
}

/* All at once, which costs the kernel least; one that cannot be enabled must not keep the others
 * from it, and then it is one by one. */
static void enable_controllers(char *detail, size_t capacity)
{
    char text[TEXT_BYTES], words[2 * TEXT_BYTES] = "", *rest = text, *name;
    size_t used = 0;
    if (read_file(CGROUP_ROOT "/cgroup.controllers", text, sizeof text) < 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    snprintf(detail, capacity, "%s", text);
    while ((name = strsep(&rest, " ")) && used + strlen(name) + 3 < sizeof words)
        if (*name)
            used += (size_t)snprintf(words + used, sizeof words - used, "+%s ", name);
    if (write_file(CGROUP_ROOT, "cgroup.subtree_control", words) == 0)
        return;
    for (rest = words; (name = strsep(&rest, " "));)
        if (*name)
            (void)write_file(CGROUP_ROOT, "cgroup.subtree_control", name);
    if (read_file(CGROUP_ROOT "/cgroup.subtree_control", text, sizeof text) == 0)
        snprintf(detail, capacity, "%.*s", (int)strcspn(text, "\n"), text);
}

/* The kernel's limits of tasks, less what we keep: 0 when it does not tell. */
static uint64_t pids_for_work(void)
{
    static const char *const files[] = {"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"};
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char text[32];
        if (read_file(files[i], text, sizeof text) < 0)
            continue;
        uint64_t value = strtoull(text, NULL, 10);
        if (value > 0 && value < least)
            least = value;
    }
    if (least == UINT64_MAX)
        return 0;
    return least > 2 * PIDS_RESERVE ? least - PIDS_RESERVE : least / 2;
}

/* Missing controllers leave missing files: then there is no such protection, and detail says so. */
static void protect_agent(void)
{
    char number[32];
    snprintf(number, sizeof number, "%d", AGENT_MEMORY_MIN);
    (void)write_file(CGROUP_AGENT, "memory.min", number);
    (void)write_file(CGROUP_AGENT, "memory.oom.group", "0");
    uint64_t pids = pids_for_work();
    snprintf(number, sizeof number, "%llu", (unsigned long long)pids);
    if (pids > 0)
        (void)write_file(CGROUP_WORK, "pids.max", number);
}

static int make_group(const char *path, struct nsp_error *err)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "mkdir", path);
    return 0;
}

static int mount_hierarchy(struct nsp_error *err)
{
    static const char type[] = "cgroup2";
    struct mount_entry entry = {
        .source = type,
        .target = CGROUP_ROOT,
        .type = type,
        .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME,
        .data = "nsdelegate,memory_recursiveprot",
    };
    if (mount_entry_apply(&entry, NULL, err) == 0)
        return 0;
    entry.data = NULL; /* before Linux 5.7 */
    return mount_entry_apply(&entry, NULL, err);
}

int cgroup_set_up(char *detail, size_t capacity, struct nsp_error *err)
{
    if (capacity > 0)
        detail[0] = '\0';
    if (mount_hierarchy(err) < 0 || make_group(CGROUP_AGENT, err) < 0 ||
        make_group(CGROUP_WORK, err) < 0)
        return -1;
    if (write_file(CGROUP_AGENT, "cgroup.procs", "0") < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "write", CGROUP_AGENT "/cgroup.procs");
    enable_controllers(detail, capacity);
    protect_agent();
    return 0;
}

int cgroup_open(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool cgroup_kill(const char *path)
{
    return write_file(path, "cgroup.kill", "1") == 0;
}

bool cgroup_read(const char *path, const char *file, const char *name, uint64_t *ret_value)
{
    char full[PATH_BYTES], text[TEXT_BYTES];
    size_t length = strlen(name);
    snprintf(full, sizeof full, "%s/%s", path, file);
    if (read_file(full, text, sizeof text) < 0)
        return false;
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            next++;
        if (strncmp(line, name, length) == 0 && line[length] == ' ') {
            *ret_value = strtoull(line + length + 1, NULL, 10);
            return true;
        }
    }
    return false;
}
