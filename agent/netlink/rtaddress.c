#include "agent/netlink/rtaddress.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

size_t rtaddress_length(uint8_t family)
{
    return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

bool rtaddress_equal(const struct rtaddress *one, const struct rtaddress *other)
{
    return one->family == other->family && one->prefix == other->prefix &&
           memcmp(one->bytes, other->bytes, rtaddress_length(one->family)) == 0;
}

bool rtaddress_covers(const struct rtaddress *network, const struct rtaddress *address)
{
    size_t bytes = network->prefix / 8;
    unsigned bits = network->prefix % 8;
    if (network->family != address->family || bytes > rtaddress_length(network->family) ||
        memcmp(network->bytes, address->bytes, bytes) != 0)
        return false;
    return bits == 0 || (network->bytes[bytes] ^ address->bytes[bytes]) >> (8 - bits) == 0;
}

bool rtaddress_is_own(const struct rtaddress *address)
{
    static const struct rtaddress own[] = {
        {AF_INET, 8, {127}},
        {AF_INET6, 10, {0xfe, 0x80}},
        {AF_INET6, 128, {[15] = 1}},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (rtaddress_covers(&own[i], address))
            return true;
    return false;
}

void rtaddress_format(const struct rtaddress *address, bool with_prefix,
                      char target[RTADDRESS_TEXT])
{
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(address->family, address->bytes, text, sizeof text))
        snprintf(text, sizeof text, "?");
    if (with_prefix)
        snprintf(target, RTADDRESS_TEXT, "%s/%u", text, address->prefix);
    else
        snprintf(target, RTADDRESS_TEXT, "%s", text);
}

void rtaddress_format_mac(const uint8_t mac[RTADDRESS_MAC], char target[RTADDRESS_MAC_TEXT])
{
    snprintf(target, RTADDRESS_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
             mac[3], mac[4], mac[5]);
}
