#include "agent/services/process_environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");
    return strncmp(a, b, length) == 0 && b[length] == '=';
}

static bool is_replaced(const char *variable, const struct param_strings *by)
{
    for (size_t i = 0; i < by->count; i++)
        if (same_name(variable, by->items[i]))
            return true;
    return false;
}

char **process_environment_merge(char *const *defaults, const struct param_strings *variables)
{
    size_t count = 0;
    while (defaults[count])
        count++;
    char **merged = calloc(count + variables->count + 1, sizeof *merged);
    if (!merged)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_replaced(defaults[i], variables))
            merged[used++] = defaults[i];
    for (size_t i = 0; i < variables->count; i++)
        merged[used++] = variables->items[i];
    return merged;
}
