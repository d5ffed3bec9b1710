/* The kernel command line, see the kernel's Documentation/admin-guide/kernel-parameters.rst: words
 * separated by blanks, "key=value with blanks" or key="value with blanks". Nothing is allocated.
 */
#ifndef AGENT_CMDLINE_H
#define AGENT_CMDLINE_H

#include <stdbool.h>

#include "protocol/error.h"

/* Room for COMMAND_LINE_SIZE of x86 and arm64, which is 2,048. */
enum { CMDLINE_BYTES = 4096, CMDLINE_WORDS = 256 };

struct cmdline_word {
    const char *key;
    const char *value; /* NULL: a word without "=" */
};

struct cmdline {
    struct cmdline_word words[CMDLINE_WORDS]; /* point into text */
    unsigned count;
    bool is_cut; /* there was more than fits */
    char text[CMDLINE_BYTES];
};

/* From /proc/cmdline, or another file. SYSTEM. */
int cmdline_read(const char *path, struct cmdline *ret_cmdline, struct nsp_error *err);
/* The same from text. */
void cmdline_parse(const char *text, struct cmdline *ret_cmdline);

/* The value of the last word with that key: "" when it has none, NULL when there is no such word.
 */
const char *cmdline_value(const struct cmdline *cmdline, const char *key);

#endif
