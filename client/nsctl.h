/* nsctl: what its commands share. One command is one row of the table in nsctl.c; help, completions
 * and parsing come from the rows.
 */
#ifndef NSCTL_H
#define NSCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/nsclient.h"

enum {
    NSCTL_OK = 0,
    NSCTL_TIMED_OUT = 124,
    NSCTL_ERROR = 125, /* of the agent, of nsctl, of its usage */
    NSCTL_SIGNAL = 128,
};

struct nsctl_number {
    bool set;
    uint64_t value;
};

struct nsctl_list {
    const char **items; /* NULL-terminated; NULL when empty */
    size_t count;
};

/* All options of all commands, as they were given. Strings belong to argv. */
struct nsctl_settings {
    const char *connect;
    bool json, help, version;
    struct nsctl_number reconnect_timeout; /* ms */

    const char *cwd, *id, *key, *policy, *until, *signal, *scope;
    struct nsctl_list environment;
    bool clear_environment, shell, detach, no_stdin, merge, all, tail, interleaved, follow, close;
    bool agent, supervisor, kernel; /* whose log */
    bool reboot, halt;
    const char *level;
    struct nsctl_number timeout, grace, interval; /* ms */
    struct nsctl_number ring, from, from_stderr, offset, count;

    char **words; /* NULL-terminated; what is not an option */
    int word_count;
};

enum nsctl_option_kind {
    NSCTL_FLAG,    /* bool */
    NSCTL_TEXT,    /* const char * */
    NSCTL_CHOICE,  /* const char *, one of choices */
    NSCTL_LIST,    /* struct nsctl_list, each time one more */
    NSCTL_SECONDS, /* struct nsctl_number in ms; "1.5" */
    NSCTL_NUMBER,  /* struct nsctl_number */
    NSCTL_BYTES,   /* struct nsctl_number; "64K", "1M" */
};

struct nsctl_option {
    char letter; /* 0: none */
    const char *name;
    enum nsctl_option_kind kind;
    size_t offset;        /* in struct nsctl_settings */
    const char *argument; /* for help; NULL for flags */
    const char *doc;
    const char *const *choices; /* NULL-terminated */
};

struct nsctl {
    struct nsctl_settings settings;
    struct nsp_client *client; /* NULL for commands that need none */
};

struct nsctl_command {
    const char *name;
    const char *words; /* for help: "ID" */
    int min_words, max_words;
    bool offline;                       /* needs no agent */
    bool stops_at_word;                 /* what follows the first word belongs to another program */
    const struct nsctl_option *options; /* ends with a row without a name; may be NULL */
    int (*run)(struct nsctl *ctl);      /* returns nsctl's exit status */
    const char *summary;
    const char *details; /* for help; NULL: none */
};

/* Both end with a row without a name. */
extern const struct nsctl_command nsctl_commands[];
extern const struct nsctl_option nsctl_global_options[];

#endif
