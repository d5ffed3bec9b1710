#include "agent/os/environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");
    return strncmp(a, b, length) == 0 && b[length] == '=';
}

static bool is_replaced(const char *variable, char *const *by)
{
    while (*by)
        if (same_name(variable, *by++))
            return true;
    return false;
}

static size_t count_of(char *const *list)
{
    size_t count = 0;
    while (list[count])
        count++;
    return count;
}

char **environment_merge(char *const *defaults, char *const *added)
{
    static char *const none[] = {NULL};
    char *const *by = added ? added : none;
    char **merged = calloc(count_of(defaults) + count_of(by) + 1, sizeof *merged);
    if (!merged)
        return NULL;
    size_t used = 0;
    for (; *defaults; defaults++)
        if (!is_replaced(*defaults, by))
            merged[used++] = *defaults;
    while (*by)
        merged[used++] = *by++;
    return merged;
}
