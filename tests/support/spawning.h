/* For the tests of spawn: runs a program to its end and tells what became of it. Every check that
 * fails in here fails the present test. */
#ifndef TESTS_SUPPORT_SPAWNING_H
#define TESTS_SUPPORT_SPAWNING_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

#include <check.h>

#include "agent/os/spawn.h"
#include "protocol/error.h"

/* What became of a child. */
struct spawning_result {
    enum spawn_result outcome;
    struct nsp_error failure;
    pid_t pid, pid_in_slot;
    siginfo_t exit;
    char output[4096]; /* standard output */
};

/* Fixture: an empty directory for the present test. */
void spawning_make_directory(void);
void spawning_remove_directory(void);
const char *spawning_directory(void);
/* A path in it, good until the fourth next call. */
const char *spawning_path(const char *name);
/* Writes a file there and returns its path. */
const char *spawning_file(const char *name, const char *text, mode_t mode);

/* Drops root's rights, if there are any, until the end of the test. */
void spawning_become_nobody(void);

/* No environment, nothing for stdio. */
struct spawn_request spawning_request(char *const *argv, int way);
enum spawn_result spawning_wait(struct spawn *spawn, struct nsp_error *failure);
void spawning_read_all(int fd, char *target, size_t capacity);

/* Starts, reads standard output to its end, waits. */
struct spawning_result spawning_run(struct spawn_request *request);
struct spawning_result spawning_shell(const char *script, int way);
void spawning_assert_failed(const struct spawning_result *result, const char *op, int sys_errno,
                            const char *object);

/* The tests, each once for every enum clone_way, in a suite of one case. */
Suite *spawning_suite(const char *name, const TTest *const *tests, size_t count);

#endif
