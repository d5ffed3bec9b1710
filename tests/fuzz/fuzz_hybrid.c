/* The hybrid handshake's answer, cut at a place that the first byte chooses: both halves together
 * must be judged like the whole, no byte after the answer may be taken, and what is accepted must
 * be the canonical line. */
#include <string.h>

#include "client/hybrid.h"
#include "tests/fuzz/fuzz.h"

static int run(const uint8_t *data, size_t size, size_t cut, size_t *ret_used, uint32_t *ret_port)
{
    struct nsp_hybrid hybrid = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    int result = nsp_hybrid_feed(&hybrid, data, cut, ret_used, ret_port, &err);
    if (result == 0) {
        size_t used = 0;
        FUZZ_CHECK(*ret_used == cut);
        result = nsp_hybrid_feed(&hybrid, data + cut, size - cut, &used, ret_port, &err);
        *ret_used = cut + used;
    }
    FUZZ_CHECK(result >= 0 || err.code == NSP_E_PROTOCOL);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t used = 0, used_cut = 0;
    uint32_t port = 0, port_cut = 0;
    if (size == 0)
        return 0;
    size_t cut = data[0] < size - 1 ? data[0] : size - 1;
    data++;
    size--;
    int whole = run(data, size, size, &used, &port);
    int halves = run(data, size, cut, &used_cut, &port_cut);
    FUZZ_CHECK(whole == halves && port == port_cut);
    FUZZ_CHECK(whole < 0 || used == used_cut);
    if (whole <= 0)
        return 0;
    FUZZ_CHECK(used >= 5 && used <= size);
    FUZZ_CHECK(memcmp(data, "OK ", 3) == 0 && data[used - 1] == '\n');
    FUZZ_CHECK(!memchr(data, '\n', used - 1));
    return 0;
}
