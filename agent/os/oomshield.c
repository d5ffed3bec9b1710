#include "agent/os/oomshield.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"

struct value {
    char text[8];
    size_t length;
};

static struct {
    int fd; /* of our own oom_score_adj, plus one; 0: not open */
    unsigned exposures;
    struct value protected, exposed;
} shield;

static struct value value_of(int adj)
{
    struct value value;
    value.length = (size_t)snprintf(value.text, sizeof value.text, "%d", adj);
    return value;
}

static int set(int fd, const struct value *value)
{
    return pwrite(fd, value->text, value->length, 0) == (ssize_t)value->length ? 0 : -1;
}

void oomshield_open(int protected_adj, int exposed_adj)
{
    char text[16] = "";
    AUTO_FD int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

    oomshield_close();
    if (fd < 0 || pread(fd, text, sizeof text - 1, 0) <= 0)
        return;
    if (strtol(text, NULL, 10) > exposed_adj)
        return;
    struct value protected = value_of(protected_adj);
    if (set(fd, &protected) < 0)
        return;
    shield.protected = protected;
    shield.exposed = value_of(exposed_adj);
    shield.exposures = 0;
    shield.fd = STEAL_FD(fd) + 1;
}

void oomshield_close(void)
{
    if (shield.fd)
        close(shield.fd - 1);
    shield.fd = 0;
}

void oomshield_lower(void)
{
    if (shield.fd && shield.exposures++ == 0)
        set(shield.fd - 1, &shield.exposed);
}

void oomshield_raise(void)
{
    if (shield.fd && shield.exposures > 0 && --shield.exposures == 0)
        set(shield.fd - 1, &shield.protected);
}
