#include "agent/machine/cmdline.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"

/* Cuts the word at text; returns what follows it. A quote opens and closes anywhere, as for the
 * kernel, but only those around the whole word or value are taken away. */
static char *cut_word(char *text, struct cmdline_word *ret_word)
{
    bool is_quoted = text[0] == '"', in_quote = is_quoted;
    char *start = text + is_quoted, *value = NULL, *end;
    for (end = start; *end && (in_quote || !isspace((unsigned char)*end)); end++) {
        if (*end == '"')
            in_quote = !in_quote;
        else if (*end == '=' && !value)
            value = end;
    }
    char *next = *end ? end + 1 : end;
    *end = '\0';
    if (is_quoted && end > start && end[-1] == '"')
        end[-1] = '\0';
    if (value) {
        *value++ = '\0';
        if (value[0] == '"') {
            value++;
            if (end > value && end[-1] == '"')
                end[-1] = '\0';
        }
    }
    *ret_word = (struct cmdline_word){.key = start, .value = value};
    return next;
}

static void parse(struct cmdline *cmdline)
{
    char *at = cmdline->text;
    cmdline->count = 0;
    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (!*at)
            return;
        if (cmdline->count == CMDLINE_WORDS) {
            cmdline->is_cut = true;
            return;
        }
        at = cut_word(at, &cmdline->words[cmdline->count++]);
    }
}

void cmdline_parse(const char *text, struct cmdline *ret_cmdline)
{
    int length = snprintf(ret_cmdline->text, sizeof ret_cmdline->text, "%s", text);
    ret_cmdline->is_cut = length >= CMDLINE_BYTES;
    parse(ret_cmdline);
}

int cmdline_read(const char *path, struct cmdline *ret_cmdline, struct nsp_error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ret_cmdline->count = 0;
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", path);
    ssize_t length = read(fd, ret_cmdline->text, sizeof ret_cmdline->text - 1);
    if (length < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "read", path);
    ret_cmdline->text[length] = '\0';
    ret_cmdline->is_cut = length == CMDLINE_BYTES - 1;
    parse(ret_cmdline);
    return 0;
}

const char *cmdline_value(const struct cmdline *cmdline, const char *key)
{
    for (unsigned i = cmdline->count; i-- > 0;) {
        const struct cmdline_word *word = &cmdline->words[i];
        if (strcmp(word->key, key) == 0)
            return word->value ? word->value : "";
    }
    return NULL;
}
