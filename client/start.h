/* The parameters of process.start, and names made of random digits.
 */
#ifndef NSP_START_H
#define NSP_START_H

#include "client/nsclient.h"
#include "client/writer.h"

enum { NSP_START_KEY_SIZE = 33, NSP_START_READER_SIZE = 17 };

/* The fields, into an open object. key: used when the start has none of its own. */
void nsp_start_write(struct nsp_writer *writer, const struct nsp_start *start, const char *key);

/* size - 1 random lower-case hexadecimal digits and a NUL. SYSTEM. */
int nsp_start_random(char *ret_digits, size_t size, struct nsp_error *err);

#endif
