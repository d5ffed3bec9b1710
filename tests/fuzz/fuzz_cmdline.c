/* The kernel command line: every word lies within the text, ends, and is found by its key. */
#include <string.h>

#include "agent/machine/cmdline.h"
#include "tests/fuzz/fuzz.h"

static void check_part(const struct cmdline *cmdline, const char *part)
{
    FUZZ_CHECK(part >= cmdline->text && part < cmdline->text + sizeof cmdline->text);
    FUZZ_CHECK(memchr(part, '\0', (size_t)(cmdline->text + sizeof cmdline->text - part)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cmdline cmdline;
    char *text = malloc(size + 1);
    FUZZ_CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    cmdline_parse(text, &cmdline);
    FUZZ_CHECK(cmdline.count <= CMDLINE_WORDS);
    FUZZ_CHECK(cmdline.is_cut || strlen(text) < CMDLINE_BYTES);
    for (unsigned i = 0; i < cmdline.count; i++) {
        const struct cmdline_word *word = &cmdline.words[i];
        check_part(&cmdline, word->key);
        if (word->value)
            check_part(&cmdline, word->value);
        FUZZ_CHECK(!strchr(word->key, '='));
        FUZZ_CHECK(cmdline_value(&cmdline, word->key));
    }
    free(text);
    return 0;
}
