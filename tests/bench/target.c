#include "tests/bench/target.h"

#include <string.h>

static const struct target_kind *const kinds[] = {&target_bare, &target_agent, &target_echo,
                                                  &target_qga, &target_ssh};

struct target *target_open(const struct options *options)
{
    size_t length = strcspn(options->target, ":");
    const char *rest = options->target + length + (options->target[length] == ':');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i]->name) != length ||
            strncmp(kinds[i]->name, options->target, length) != 0)
            continue;
        struct target *target = kinds[i]->open(rest);
        target->kind = kinds[i];
        target->pids = options->pids;
        target->forget = options->forget;
        return target;
    }
    measure_die("%s: no such target", options->target);
}

void target_close(struct target *target)
{
    target->kind->close(target);
}

uint64_t target_cpu(const struct target *target)
{
    return measure_cpu(&target->pids) + target->own_cpu;
}
