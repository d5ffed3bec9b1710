/* A datagram from the kernel: every message is tried as an answer and as each record. What is read
 * lies within the datagram and within the bounds that the headers promise.
 */
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/netlink/nlmessage.h"
#include "agent/netlink/rtrecord.h"
#include "tests/fuzz/fuzz.h"

static void check_address(const struct rtaddress *address)
{
    char text[RTADDRESS_TEXT];
    FUZZ_CHECK(address->family == AF_INET || address->family == AF_INET6);
    FUZZ_CHECK(address->prefix <= 8 * rtaddress_length(address->family));
    FUZZ_CHECK(rtaddress_covers(address, address) && rtaddress_equal(address, address));
    rtaddress_format(address, true, text);
    FUZZ_CHECK(text[0] != '?' && strchr(text, '/'));
}

static void check_answer(const struct nlmessage *message)
{
    struct nlmessage_answer answer;
    if (!nlmessage_answer(message, &answer))
        return;
    FUZZ_CHECK(answer.error >= 0 && answer.error <= 4095);
    FUZZ_CHECK(memchr(answer.text, 0, sizeof answer.text));
}

static void check_link(const struct nlmessage *message)
{
    struct rtrecord_link link;
    if (!rtrecord_link(message, &link))
        return;
    FUZZ_CHECK(link.index > 0);
    FUZZ_CHECK(memchr(link.name, 0, sizeof link.name) && memchr(link.kind, 0, sizeof link.kind));
    FUZZ_CHECK(rtrecord_state_name(link.state)[0] != '\0');
}

static void check_route(const struct nlmessage *message)
{
    struct rtrecord_route route;
    if (!rtrecord_route(message, &route))
        return;
    check_address(&route.to);
    if (route.has_via)
        check_address(&route.via);
    if (route.hops == 1 && route.index > 0)
        FUZZ_CHECK(rtrecord_route_uses(message, route.index));
}

static void check_message(const struct nlmessage *message)
{
    struct rtrecord_address address;
    struct rtrecord_neighbour neighbour;
    check_answer(message);
    check_link(message);
    check_route(message);
    if (rtrecord_address(message, &address)) {
        check_address(&address.address);
        check_address(&address.peer);
    }
    if (rtrecord_neighbour(message, &neighbour))
        check_address(&neighbour.address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    struct nlmessage message;
    while (nlmessage_next(&at, data + size, &message) > 0) {
        FUZZ_CHECK(message.body >= data && message.length <= (size_t)(data + size - message.body));
        FUZZ_CHECK(at > message.body - sizeof(struct nlmsghdr) && at <= data + size);
        check_message(&message);
    }
    return 0;
}
