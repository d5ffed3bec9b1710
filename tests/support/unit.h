/* The main function of a unit test program: runs a Check suite and prints TAP.
 *
 *     static Suite *suite(void) { ... }
 *     UNIT_MAIN(suite)
 *
 * Each test runs in a process of its own (CK_FORK=no turns that off, for a debugger), so a crash
 * is one failed test. CK_RUN_CASE=NAME runs one test case. A test that cannot run here says why:
 *
 *     if (geteuid() != 0)
 *         UNIT_SKIP("needs root");
 */
#ifndef TESTS_SUPPORT_UNIT_H
#define TESTS_SUPPORT_UNIT_H

#include <check.h>

/* Ends the current test, which then counts as skipped. reason is one line. */
#define UNIT_SKIP(reason)                                                                          \
    do {                                                                                           \
        unit_note_skip(__func__, reason);                                                          \
        return;                                                                                    \
    } while (0)

#define UNIT_MAIN(suite_function)                                                                  \
    int main(void)                                                                                 \
    {                                                                                              \
        return unit_main(suite_function());                                                        \
    }

/* Takes the suite over. 0 when no test failed, 1 otherwise. */
int unit_main(Suite *suite);

/* For UNIT_SKIP: function is the __func__ of a START_TEST body. */
void unit_note_skip(const char *function, const char *reason);

/* For a test that the leak checker cannot follow: it needs /proc of its own PID namespace, and
 * threads of its own; or one of what is kept for the life of a process. Once in a test program. */
#define UNIT_WITHOUT_LEAK_CHECK()                                                                  \
    int __lsan_is_turned_off(void);                                                                \
    int __lsan_is_turned_off(void)                                                                 \
    {                                                                                              \
        return 1;                                                                                  \
    }

#endif
