#include "agent/schema/place.h"

#include <stdarg.h>
#include <stdio.h>

void place_set(struct place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(place->path, sizeof place->path, format, args);
    va_end(args);
}

int place_refuse(const struct place *place, const char *text, const char *reason)
{
    if (!text)
        return nsp_fail_on(place->err, NSP_E_INVALID_PARAMS, place->path, "%s %s", place->path,
                           reason);
    return nsp_fail_on(place->err, NSP_E_INVALID_PARAMS, place->path, "%s %s: %.64s", place->path,
                       reason, text);
}
