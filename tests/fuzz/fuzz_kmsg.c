/* The kernel's log in both of its formats: what is taken as a record lies within its bounds and
 * cannot command a terminal, what is no record changes nothing, and a snapshot ends. */
#include <string.h>

#include "agent/machine/kmsg.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const struct kmsg_record *record)
{
    FUZZ_CHECK(record->priority <= 7);
    FUZZ_CHECK(record->length <= KMSG_TEXT_MAX);
    FUZZ_CHECK(strlen(record->text) == record->length);
    for (size_t i = 0; i < record->length; i++) {
        unsigned char c = (unsigned char)record->text[i];
        FUZZ_CHECK((c >= 0x20 || c == '\t') && c != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct kmsg_record record, untouched;
    memset(&record, 0x5a, sizeof record);
    untouched = record;
    if (kmsg_parse(text, size, &record) == 0)
        check_text(&record);
    else
        FUZZ_CHECK(memcmp(&record, &untouched, sizeof record) == 0);

    size_t at = 0, used;
    while ((used = kmsg_parse_line(text + at, size - at, &record)) > 0) {
        FUZZ_CHECK(used <= size - at);
        check_text(&record);
        at += used;
    }
    FUZZ_CHECK(at == size);
    return 0;
}
