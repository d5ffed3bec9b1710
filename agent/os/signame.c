#include "agent/os/signame.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Other names of a number that sigabbrev_np knows by another one. */
static const struct {
    const char *name;
    int number;
} aliases[] = {{"IOT", SIGABRT}, {"CLD", SIGCHLD}, {"POLL", SIGIO}, {"IO", SIGIO}};

/* Digits only, within the range of signals; -1 otherwise. */
static int number_of(const char *digits)
{
    char *end;
    if (!isdigit((unsigned char)digits[0]))
        return -1;
    long number = strtol(digits, &end, 10);
    return *end == '\0' && number >= 0 && number < NSIG ? (int)number : -1;
}

/* "RTMIN", "RTMIN+n", "RTMAX", "RTMAX-n". */
static int realtime_number(const char *name)
{
    int base, sign;
    if (strncasecmp(name, "RTMIN", 5) == 0) {
        base = SIGRTMIN;
        sign = 1;
    } else if (strncasecmp(name, "RTMAX", 5) == 0) {
        base = SIGRTMAX;
        sign = -1;
    } else {
        return -1;
    }
    if (name[5] == '\0')
        return base;
    int distance = name[5] == (sign > 0 ? '+' : '-') ? number_of(name + 6) : -1;
    int number = base + sign * distance;
    return distance >= 0 && number >= SIGRTMIN && number <= SIGRTMAX ? number : -1;
}

int signame_number(const char *name)
{
    int number = number_of(name);
    if (number >= 0)
        return number > 0 ? number : -1;
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (number = 1; number < NSIG; number++) {
        const char *known = sigabbrev_np(number);
        if (known && strcasecmp(known, name) == 0)
            return number;
    }
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcasecmp(aliases[i].name, name) == 0)
            return aliases[i].number;
    return realtime_number(name);
}

const char *signame_name(int number, char *target)
{
    const char *known = sigabbrev_np(number);
    if (known)
        snprintf(target, SIGNAME_SIZE, "SIG%s", known);
    else if (number == SIGRTMIN)
        snprintf(target, SIGNAME_SIZE, "SIGRTMIN");
    else if (number > SIGRTMIN && number <= SIGRTMAX)
        snprintf(target, SIGNAME_SIZE, "SIGRTMIN+%d", number - SIGRTMIN);
    else
        snprintf(target, SIGNAME_SIZE, "SIG%d", number);
    return target;
}
