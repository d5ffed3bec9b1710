/* The preface: only the right magic is accepted, another major version is VERSION, all else
 * PROTOCOL. */
#include <string.h>

#include "protocol/frame.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t magic[] = {0xC0, 'N', 'S', 'P'};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nsp_error err = NSP_ERROR_INIT;
    uint8_t own[NSP_PREFACE_SIZE];
    uint8_t minor = 0xA5;

    if (size < NSP_PREFACE_SIZE)
        return 0;
    if (nsp_preface_decode(data, &minor, &err) == 0) {
        FUZZ_CHECK(memcmp(data, magic, sizeof magic) == 0);
        FUZZ_CHECK(data[4] == NSP_VERSION_MAJOR && minor == data[5]);
        FUZZ_CHECK(err.code == NSP_E_NONE);
        return 0;
    }
    FUZZ_CHECK(minor == 0xA5 && err.msg[0] != '\0');
    if (err.code == NSP_E_VERSION)
        FUZZ_CHECK(memcmp(data, magic, sizeof magic) == 0 && data[4] != NSP_VERSION_MAJOR);
    else
        FUZZ_CHECK(err.code == NSP_E_PROTOCOL);
    nsp_preface_encode(own);
    FUZZ_CHECK(memcmp(own, data, sizeof own) != 0);
    return 0;
}
