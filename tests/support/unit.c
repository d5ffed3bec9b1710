/* Check writes one TAP line per test, without the line number, and knows no skipped tests. So its
 * TAP goes to a memfd, and unit_main prints it again with both: the nth line belongs to the nth
 * result. A test runs in a forked process and tells its skip through an unlinked file.
 */
#include "tests/support/unit.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static int skip_fd = -1;

void unit_note_skip(const char *function, const char *reason)
{
    dprintf(skip_fd, "%s %s\n", function, reason);
}

/* START_TEST(x) defines the function x_fn (Check 0.13 and later) or x. */
static bool skip_of(const char *test, char *ret_reason, size_t capacity)
{
    char line[LINE_MAX_BYTES];
    size_t length = strlen(test);
    bool found = false;
    FILE *file = fdopen(dup(skip_fd), "r");

    if (!file)
        return false;
    rewind(file);
    while (!found && fgets(line, sizeof(line), file)) {
        const char *rest = line + length;
        if (strncmp(line, test, length) != 0)
            continue;
        if (strncmp(rest, "_fn ", 4) == 0)
            rest += 3;
        if (*rest != ' ')
            continue;
        snprintf(ret_reason, capacity, "%.*s", (int)strcspn(rest + 1, "\n"), rest + 1);
        found = true;
    }
    fclose(file);
    return found;
}

static void print_message(TestResult *result)
{
    const char *at = tr_msg(result);

    printf("# %s:%d\n", tr_lfile(result) ? tr_lfile(result) : "?", tr_lno(result));
    while (at && *at) {
        size_t length = strcspn(at, "\n");
        printf("#   %.*s\n", (int)length, at);
        at += length + (at[length] == '\n');
    }
}

/* line: "ok 3 - file.c:test case:test_name: message" */
static void copy_test_name(const char *line, const char *test_case, char *ret_name, size_t capacity)
{
    char before[256];
    const char *name;

    snprintf(before, sizeof(before), ":%s:", test_case);
    name = strstr(line, before);
    name = name ? name + strlen(before) : "?";
    snprintf(ret_name, capacity, "%.*s", (int)strcspn(name, ":\n"), name);
}

static void print_result(const char *line, int number, TestResult *result)
{
    char test[256], reason[512];
    bool passed = tr_rtype(result) == CK_PASS;

    copy_test_name(line, tr_tcname(result), test, sizeof(test));
    printf("%s %d - %s: %s", passed ? "ok" : "not ok", number, tr_tcname(result), test);
    if (passed && skip_of(test, reason, sizeof(reason)))
        printf(" # SKIP %s", reason);
    putchar('\n');
    if (!passed)
        print_message(result);
}

static void print_all(FILE *tap, SRunner *runner)
{
    char line[LINE_MAX_BYTES];
    TestResult **results = srunner_results(runner);
    int total = srunner_ntests_run(runner);
    int number = 0;

    rewind(tap);
    while (number < total && fgets(line, sizeof(line), tap)) {
        if (strncmp(line, "ok ", 3) != 0 && strncmp(line, "not ok ", 7) != 0)
            continue;
        print_result(line, number + 1, results[number]);
        number++;
    }
    printf("1..%d\n", total);
    free(results);
}

int unit_main(Suite *suite)
{
    char path[64];
    int tap_fd = memfd_create("tap", 0);
    SRunner *runner = srunner_create(suite);
    int failed;

    skip_fd = memfd_create("skips", 0);
    if (tap_fd < 0 || skip_fd < 0) {
        perror("memfd_create");
        return 1;
    }
    /* Every writer appends, so that a test's note never overwrites another's. */
    fcntl(skip_fd, F_SETFL, O_APPEND);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", tap_fd);
    srunner_set_tap(runner, path);
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);

    FILE *tap = fdopen(tap_fd, "r");
    if (!tap) {
        perror("fdopen");
        return 1;
    }
    print_all(tap, runner);
    fclose(tap);
    close(skip_fd);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
