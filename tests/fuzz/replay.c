/* Feeds a fuzzer the files of its corpus, without libFuzzer; prints one TAP line for each.
 *
 * Beside the file itself, what is near it: every beginning of it, and every byte replaced by a few
 * that matter in these formats, as far as the file is short enough. So the corpus tries the bounds
 * of a decoder in every run, and the same in each.
 *
 *     fuzz_NAME FILE|DIRECTORY...
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

enum { BEGINNINGS_MAX = 1024, REPLACED_MAX = 512, PATH_SIZE = 4096, FILE_MAX = 1 << 22 };

static const uint8_t replacements[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '"', '\\', '{'};

static int tests;
static int failures;

/* A copy of exactly that size, so that a sanitizer sees a read beyond it. */
static void feed(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);

    FUZZ_CHECK(copy);
    memcpy(copy, bytes, length);
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

static void feed_all(uint8_t *bytes, size_t length)
{
    feed(bytes, length);
    for (size_t n = 0; n < length && n < BEGINNINGS_MAX; n++)
        feed(bytes, n);
    for (size_t at = 0; at < length && length <= REPLACED_MAX; at++) {
        uint8_t original = bytes[at];
        for (size_t i = 0; i < sizeof replacements; i++) {
            bytes[at] = replacements[i];
            feed(bytes, length);
        }
        bytes[at] = original;
    }
}

static void report(bool passed, const char *path)
{
    const char *slash = strrchr(path, '/');

    tests++;
    failures += !passed;
    printf("%s %d - %s\n", passed ? "ok" : "not ok", tests, slash ? slash + 1 : path);
    fflush(stdout);
}

static void replay_file(const char *path)
{
    static uint8_t bytes[FILE_MAX];
    FILE *file = fopen(path, "rb");
    size_t length = 0;

    if (file) {
        length = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        fprintf(stderr, "# %s\n", path);
        feed_all(bytes, length);
    }
    report(file != NULL, path);
}

static void replay_directory(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);

    if (count < 0) {
        report(false, path);
        return;
    }
    for (int i = 0; i < count; i++) {
        char name[PATH_SIZE];
        if (entries[i]->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
            replay_file(name);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) < 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            report(false, argv[i]);
        } else if (S_ISDIR(status.st_mode)) {
            replay_directory(argv[i]);
        } else {
            replay_file(argv[i]);
        }
    }
    printf("1..%d\n", tests);
    return tests == 0 || failures > 0;
}
