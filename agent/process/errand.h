/* An errand: our own program again, as a process, for work that may take its time or hang in the
 * kernel, while the loop goes on. It prints one line for people and exits with a status.
 *
 * The process is an ordinary tracked one (it has an id, and can be seen and killed), and is
 * forgotten when its end has been told.
 */
#ifndef AGENT_ERRAND_H
#define AGENT_ERRAND_H

#include "agent/process/processes.h"

enum { ERRAND_LINE = 216 };

/* Of the process, by agreement with those who write such programs; all else is a failure. */
enum errand_status { ERRAND_DONE = 0, ERRAND_FAILED = 1, ERRAND_NOTHING = 10 };

struct errand_config {
    struct processes *set;
    const char *id;
    const char *program;      /* NULL: our own */
    const char *const *words; /* argv[1]..., NULL-terminated */
    char *const *environment;
    uint64_t timeout_ms; /* then it is killed; 0: never */
    /* Once, from the loop. failure: why it could not be started, or did not exit by itself; NULL:
     * it did, with status. line: its first one; may be empty. */
    void (*done)(void *arg, const struct nsp_error *failure, int status, const char *line);
    void *arg;
};

struct errand;

/* Strings are borrowed until it returns. Errors as launch_start. */
int errand_start(const struct errand_config *config, struct errand **ret_errand,
                 struct nsp_error *err);
/* Without a word; the process goes on. NULL is fine; allowed in done. */
void errand_free(struct errand *errand);

#endif
