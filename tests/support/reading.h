/* For the tests of readers. What a reader hands out is compared as text, a word a piece: "0@7:abc"
 * bytes of output 0 from offset 7, "0@0#70000" many or unprintable ones, "gap0@0-5", "end0@5" ("!"
 * when truncated), "blocked0@5".
 */
#ifndef TESTS_SUPPORT_READING_H
#define TESTS_SUPPORT_READING_H

#include "agent/process/reader.h"
#include "tests/support/process_set.h"

struct reading {
    struct reader reader;
    unsigned superseded; /* calls, of all readers */
};

/* The one of the running test. */
extern struct reading reading;

/* From offset 0, following. */
extern const struct reader_options reading_plain, reading_lossless, reading_in_order;
struct reader_options reading_named(uint64_t name, uint64_t hold_ms);

void reading_on_superseded(void *arg);
void reading_attach(const struct puppet *puppet, const struct reader_options *options);
void reading_attach_to(struct reader *reader, const struct puppet *puppet,
                       const struct reader_options *options);

/* All that it hands out now, without limits or with them. Good until the next call. */
const char *reading_pull(void);
const char *reading_pull_from(struct reader *reader, uint64_t credit0, uint64_t credit1,
                              uint64_t max);

uint64_t reading_head(const struct puppet *puppet, unsigned output);
bool reading_is_blocked(const struct puppet *puppet, unsigned output);

#endif
