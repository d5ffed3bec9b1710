#include "tests/support/spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 10000, NOBODY = 65534 };

static char directory[64]; /* for files of the present test */

void spawning_make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/test_spawn.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chmod(directory, 0755), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void spawning_remove_directory(void)
{
    if (getuid() == NOBODY)
        (void)!setresuid(0, 0, 0); /* fails where we were nobody all along */
    ck_assert_int_eq(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void spawning_become_nobody(void)
{
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(NOBODY, NOBODY, 0), 0);
}

const char *spawning_path(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

const char *spawning_file(const char *name, const char *text, mode_t mode)
{
    const char *path = spawning_path(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static char *const no_environment[] = {NULL};

struct spawn_request spawning_request(char *const *argv, int way)
{
    return (struct spawn_request){.argv = argv,
                                  .environment = no_environment,
                                  .stdio = {-1, -1, -1},
                                  .way = (enum clone_way)way};
}

enum spawn_result spawning_wait(struct spawn *spawn, struct nsp_error *failure)
{
    struct pollfd status = {.fd = spawn_status_fd(spawn), .events = POLLIN};
    ck_assert_int_eq(poll(&status, 1, DEADLINE_MS), 1);
    return spawn_outcome(status.fd, spawn, failure);
}

void spawning_read_all(int fd, char *target, size_t capacity)
{
    size_t length = 0;
    ssize_t count;
    while ((count = read(fd, target + length, capacity - 1 - length)) > 0)
        length += (size_t)count;
    ck_assert_int_eq(count, 0);
    target[length] = '\0';
}

struct spawning_result spawning_run(struct spawn_request *request)
{
    struct spawning_result result = {.outcome = SPAWN_PENDING};
    struct nsp_error err;
    struct spawn *spawn = NULL;
    int output[2], pidfd = -1;
    pid_t slot = 0;

    ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
    request->stdio[1] = output[1];
    ck_assert_msg(spawn_prepare(request, &spawn, &err) == 0, "%s", err.msg);
    ck_assert_msg(spawn_clone(spawn, &slot, &pidfd, &err) == 0, "%s", err.msg);
    close(output[1]);
    result.pid_in_slot = slot;
    result.outcome = spawning_wait(spawn, &result.failure);
    ck_assert_int_ne(result.outcome, SPAWN_PENDING);
    spawning_read_all(output[0], result.output, sizeof result.output);
    close(output[0]);
    ck_assert_int_ge(pidfd, 0);
    ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &result.exit, WEXITED), 0);
    result.pid = result.exit.si_pid;
    close(pidfd);
    spawn_free(spawn);
    return result;
}

struct spawning_result spawning_shell(const char *script, int way)
{
    char *argv[] = {"/bin/sh", "-c", (char *)script, NULL};
    struct spawn_request request = spawning_request(argv, way);
    return spawning_run(&request);
}

void spawning_assert_failed(const struct spawning_result *result, const char *op, int sys_errno,
                            const char *object)
{
    ck_assert_int_eq(result->outcome, SPAWN_FAILED);
    ck_assert_int_eq(result->failure.code, NSP_E_SPAWN);
    ck_assert_str_eq(result->failure.op, op);
    ck_assert_str_eq(nsp_errno_name(result->failure.sys_errno), nsp_errno_name(sys_errno));
    ck_assert_str_eq(result->failure.object, object);
    ck_assert_int_eq(result->exit.si_code, CLD_EXITED);
    ck_assert_int_eq(result->exit.si_status, 127);
}

const char *spawning_directory(void)
{
    return directory;
}

Suite *spawning_suite(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *ways = tcase_create("every way");
    tcase_add_checked_fixture(ways, spawning_make_directory, spawning_remove_directory);
    tcase_set_timeout(ways, 60);
    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(ways, tests[i], 0, CLONE_WAYS);
    suite_add_tcase(suite, ways);
    return suite;
}
