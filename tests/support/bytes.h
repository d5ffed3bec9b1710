/* Bytes written as hexadecimal digits, for recorded messages. */
#ifndef TESTS_SUPPORT_BYTES_H
#define TESTS_SUPPORT_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* Blanks are skipped. Fails the test for anything else, and when target is too small. Returns how
 * many there are. */
size_t bytes_from_hex(const char *text, uint8_t *target, size_t capacity);

#endif
