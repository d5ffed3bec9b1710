/* Mount namespaces of their own for tests of mounting: nothing that happens there is seen outside.
 */
#ifndef TESTS_SUPPORT_PRIVATE_MOUNTS_H
#define TESTS_SUPPORT_PRIVATE_MOUNTS_H

#include <stdbool.h>

/* The calling process sees the mounts of before, and changes them for itself alone. False when that
 * is not permitted. */
bool private_mounts_enter(void);

/* The same with an empty tmpfs as the root and only a proc in it; no file system of the machine is
 * in reach. False when that is not permitted. */
bool private_mounts_enter_empty(void);

#endif
